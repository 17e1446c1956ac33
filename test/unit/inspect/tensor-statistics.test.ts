import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import type {
  ModelDescription,
  StoredTensor,
} from '../../../extension/core/inspect/model-description';
import { tensorStatistics } from '../../../extension/core/inspect/tensor-statistics';
import type { TensorStatistics } from '../../../extension/core/inspect/tensor-statistics';
import { TensorReader, explainUnreadable } from '../../../extension/core/inspect/tensor-values';
import { CancelledError } from '../../../extension/core/jobs/job';
import { blockFiles, ggufFixture, ggufFloats } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish, say } from '../../../extension/core/message';
import { randomRuns } from '../sample';

const fixtures = join(import.meta.dirname, '../../fixtures');
const folder = temporaryFolder();
const unattended = { isCancellationRequested: false };

function readTensors({ blocks, parts }: ModelDescription): StoredTensor[] {
  const blockSum = blocks.flatMap(({ sublayers }) => sublayers);
  return [...blockSum, ...parts].flatMap(({ tensors }) => tensors);
}

/** A file that is one tensor, without a header. */
function rawTensor(name: string, dtype: string, bytes: Buffer, elements: number) {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return { name, dtype, shape: [elements], bytes: bytes.length, file, offset: 0 };
}

describe('against numpy', async () => {
  const golden = JSON.parse(
    readFileSync(join(fixtures, 'statistics', 'golden.json'), 'utf8'),
  ) as Record<string, Partial<TensorStatistics>>;
  const tensors = readTensors(
    await describeModel(join(fixtures, 'statistics', 'model.safetensors')),
  );

  it.each(Object.keys(golden))('%s', async (name) => {
    const tensor = tensors.find((known) => known.name === name);
    if (tensor === undefined) {
      throw new Error(`the fixture lacks ${name}`);
    }
    const actual = await tensorStatistics(tensor, unattended);
    const expected = golden[name] ?? {};
    const exact = ['count', 'zeros', 'nan', 'infinite', 'min', 'max', 'histogram'] as const;
    for (const field of exact) {
      expect(actual[field], field).toEqual(expected[field]);
    }
    const scale = expected.standardDeviation ?? 0;
    for (const field of ['mean', 'standardDeviation'] as const) {
      const error = Math.abs((actual[field] ?? 0) - (expected[field] ?? 0));
      expect(error, field).toBeLessThanOrEqual(1e-12 * Math.abs(scale));
    }
  });
});

describe.each(blockFiles)('block formats of GGUF, %s', async (file) => {
  const { tensors } = await readGgufHeader(ggufFixture(`${file}.gguf`));
  const values = ggufFloats(`${file}.bin`);

  it.each(tensors.map(({ name }, index) => [name, index] as const))(
    "%s is widened to the reference's bits",
    async (name, index) => {
      const tensor = tensors[index];
      if (tensor === undefined) {
        throw new Error(`the fixture lacks ${name}`);
      }
      const read: number[] = [];
      await TensorReader.open({ ...tensor, bytes: tensor.length }, unattended, async (reader) => {
        for await (const chunk of reader.chunks()) {
          read.push(...chunk);
        }
      });
      const bits = (floats: Float32Array): Uint32Array => new Uint32Array(floats.slice().buffer);
      const expected = values.slice(index * 1024, (index + 1) * 1024);
      expect(read).toHaveLength(1024);
      expect(bits(Float32Array.from(read))).toEqual(bits(expected));
    },
  );
});

describe('tensors of any size', () => {
  it('are read in parts, with the result of one pass', async () => {
    const count = 700_001;
    const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * (1 + (i % 7)));
    const tensor = rawTensor('large', 'F32', Buffer.from(values.buffer), count);
    const heard: number[] = [];
    const statistics = await tensorStatistics(tensor, unattended, (done) => heard.push(done));
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    expect(statistics.count).toBe(count);
    expect(statistics.mean).toBeCloseTo(mean, 12);
    expect(statistics.histogram?.counts.reduce((sum, n) => sum + n, 0)).toBe(count);
    // Three parts, each read twice.
    expect(heard).toHaveLength(6);
    expect(heard.at(-1)).toBe(tensor.bytes);
    expect([...heard].sort((a, b) => a - b)).toEqual(heard);
  });

  it('counts every number once, in its bin', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
        async (numbers) => {
          const floats = Float32Array.from(numbers);
          const tensor = rawTensor('any', 'F32', Buffer.from(floats.buffer), floats.length);
          const { min, max, histogram } = await tensorStatistics(tensor, unattended);
          if (histogram === undefined) {
            // A single value so large that float64 can't resolve a range of one around it.
            expect(min).toBe(max);
            expect(Math.abs(min ?? 0)).toBeGreaterThanOrEqual(2 ** 45);
            return;
          }
          const { low, high, counts } = histogram;
          expect(min).toBe(Math.min(...floats) + 0);
          expect(max).toBe(Math.max(...floats) + 0);
          expect(counts.every((n) => n >= 0)).toBe(true);
          expect(counts.reduce((sum, n) => sum + n, 0)).toBe(floats.length);
          const middle = low + (high - low) / 2;
          const below = counts.slice(0, 32).reduce((sum, n) => sum + n, 0);
          expect(below).toBe(floats.filter((value) => value < middle).length);
        },
      ),
      { numRuns: randomRuns(1000, 250), examples: [[[-0, 0]], [[-0]]] },
    );
  });

  it('stop when canceled', async () => {
    const tensor = rawTensor('stopped', 'F32', Buffer.alloc(40), 10);
    const cancelled = { isCancellationRequested: true };
    await expect(tensorStatistics(tensor, cancelled)).rejects.toThrow(CancelledError);
  });

  it('that became shorter are an error', async () => {
    const tensor = rawTensor('shortened', 'F32', Buffer.alloc(40), 10);
    truncateSync(tensor.file, 20);
    await expect(tensorStatistics(tensor, unattended)).rejects.toFailWith({
      code: 'tensor-truncated',
      file: 'shortened',
      field: 'shortened',
    });
  });

  it('of a type without known numbers are unavailable, with a reason', async () => {
    const tensor = rawTensor('unknown', 'Q8_1', Buffer.alloc(36), 32);
    const reason = (one: Parameters<typeof explainUnreadable>[0]): string =>
      inEnglish(explainUnreadable(one) ?? say``);
    expect(reason(tensor)).toMatch(/Q8_1 can be listed/);
    await expect(tensorStatistics(tensor, unattended)).rejects.toFailWith({
      code: 'tensor-not-readable',
      file: 'unknown',
      field: 'unknown',
    });
    expect(reason({ ...tensor, dtype: 'F32' })).toMatch(/contiguous/);
    expect(explainUnreadable({ ...tensor, dtype: 'Q8_0', bytes: 34 })).toBeUndefined();
  });

  it('of ONNX files are supported too', async () => {
    const tensors = readTensors(await describeModel(onnxFixture('llama-legacy')));
    const norm = tensors.find(({ name }) => name.endsWith('norm.weight'));
    if (norm === undefined) {
      throw new Error('the fixture lacks a norm');
    }
    const { count, mean } = await tensorStatistics(norm, unattended);
    expect(count).toBe(16);
    expect(mean).toBeGreaterThan(0);
  });
});
