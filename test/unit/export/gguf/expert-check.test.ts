import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  dequantizedDTypes,
  ggmlBlock,
  writableTypes,
} from '../../../../extension/core/checkpoints/ggml-types';
import type { WritableType } from '../../../../extension/core/checkpoints/ggml-types';
import { tensorPart } from '../../../../extension/core/checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../../extension/core/checkpoints/lazy-tensor';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { quantizeRows } from '../../../../extension/core/checkpoints/quantize/quantizers';
import { checkChanges } from '../../../../extension/core/export/changes';
import { compareExperts } from '../../../../extension/core/export/compare-experts';
import type { ComparedModel } from '../../../../extension/core/export/compare-experts';
import { roundingError } from '../../../../extension/core/export/gguf/choose-types';
import { compareLogits } from '../../../../extension/core/export/verify';
import { unattended } from '../../../../extension/core/jobs/job';
import { openModel } from '../../../../extension/core/models/open-model';
import { ggufFixture } from '../../gguf-fixtures';
import { computeLogits } from '../pruning';
import { fresh } from './family-files';

const input = Int32Array.from({ length: 20 }, (_, i) => (7 * i + 3) % 32);
const source = ggufFixture('qwen3moe.gguf');

/** Copy of the fixture in which the first two experts of each block are exchanged in the tensors `part`. */
async function exchanged(part: RegExp): Promise<string> {
  const { tensors } = await readGgufHeader(source);
  const bytes = readFileSync(source);
  let changed = 0;
  for (const { shape, offset, length } of tensors.filter((one) => part.test(one.name))) {
    const own = length / (shape[0] ?? 1);
    const first = Buffer.from(bytes.subarray(offset, offset + own));
    bytes.copy(bytes, offset, offset + own, offset + 2 * own);
    first.copy(bytes, offset + own);
    changed += 1;
  }
  expect(changed).toBeGreaterThan(1);
  const file = `${fresh()}.gguf`;
  writeFileSync(file, bytes);
  return file;
}

const check = async (
  expected: Float32Array,
  actual: Float32Array,
  error: number,
): Promise<ReturnType<typeof compareLogits>> => {
  const model = await openModel(source);
  const how = { model, input, isSameGraph: false, roundingError: error };
  return compareLogits(expected, actual, how, 'written.gguf');
};
const failure = { code: 'verification-failed', file: 'written.gguf' } as const;
const weights = { dtype: 'F32' } as LazyTensor;

describe('the check of a file with rounded experts', () => {
  // Bounds of 4 bits and fewer are larger than what exchanged experts change in this model, 0.79: see below.
  it.each(['F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K'] as const)(
    'notices exchanged router rows and experts, also in %s',
    async (type) => {
      const expected = await computeLogits(source, [[...input]]);
      for (const part of [/ffn_gate_inp\.weight$/, /ffn_down_exps/, /ffn_(?:gate|up|down)_exps/]) {
        const actual = await computeLogits(await exchanged(part), [[...input]]);
        const checked = check(expected, actual, roundingError(weights, type));
        await expect(checked).rejects.toFailWith(failure);
      }
    },
  );

  it('accepts a tenth of the tokens at other experts only if weights were rounded', async () => {
    const expected = await computeLogits(source, [[...input]]);
    const width = expected.length / input.length;
    const withOtherRows = (count: number, value = 100): Float32Array =>
      expected.map((logit, i) => (i < count * width ? value : logit));
    const error = roundingError(weights, 'Q4_K');
    expect(await check(expected, withOtherRows(2), error)).toMatchObject({ tolerance: error });
    await expect(check(expected, withOtherRows(3), error)).rejects.toFailWith(failure);
    await expect(check(expected, withOtherRows(1), 0)).rejects.toFailWith(failure);
    await expect(check(expected, withOtherRows(1, NaN), error)).rejects.toFailWith(failure);
  });
});

const [experts, rows, columns] = [6, 5, 256];
const matrix = rows * columns;
let state = 1;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32 - 0.5;
};

/** A stack [experts, rows, columns] in a file. */
function stack(name: string, dtype: LazyTensor['dtype'], bytes: Uint8Array): LazyTensor {
  const file = `${fresh()}.bin`;
  writeFileSync(file, bytes);
  return { name, dtype, shape: [experts, rows, columns], file, offset: 0, length: bytes.length };
}

/** One MoE layer with the matrices and the router of a stack; its expert `i` is the stack's expert `order[i]`. */
function layer(weight: LazyTensor, router: LazyTensor, order: readonly number[]): ComparedModel {
  const parts = order.map((expert) => tensorPart(weight, expert));
  const linearLayers = parts.map((part, index) => ({
    ...({
      id: part.name,
      sublayer: 0,
      role: 'down',
      out: rows,
      in: columns,
      weight: part,
    } as const),
    ...{ transposed: false, expert: { index, share: 1 } },
  }));
  return {
    summary: { sublayers: [{ id: 'block.0.expert', kind: 'expert' }] },
    sublayer: () => ({
      linearLayers,
      expertTensors: { byRow: [router], experts: parts.map((one) => [one]) },
    }),
  };
}

const allExperts = Array.from({ length: experts }, (_, i) => i);
const floats = Float32Array.from({ length: experts * matrix }, random);
const router: LazyTensor = {
  ...stack(
    'router',
    'F32',
    new Uint8Array(Float32Array.from({ length: 8 * experts }, random).buffer),
  ),
  shape: [experts, 8],
};
const exchangedStack = (bytes: Uint8Array): Uint8Array => {
  const own = bytes.length / experts;
  const part = (expert: number): Uint8Array => bytes.subarray(expert * own, (expert + 1) * own);
  return Buffer.concat([2, 1, 0, 3, 4, 5].map(part));
};

describe('the comparison of experts', () => {
  const compare = async (
    from: ComparedModel,
    to: ComparedModel,
    isExact: boolean,
    kept = allExperts,
  ) =>
    compareExperts(
      from,
      to,
      {
        remaining: from.summary.sublayers,
        patches: new Map(),
        remainingExperts: new Map([['block.0.expert', kept]]),
      },
      { isExact, path: 'written.gguf' },
      unattended,
    );
  const exchange = { code: 'experts-exchanged', file: 'written.gguf', field: 'experts' } as const;
  const original = stack('experts', 'F32', new Uint8Array(floats.buffer));

  it.each(writableTypes)(
    'notices exchanged experts that were rounded to %s',
    async (type: WritableType) => {
      const bytes = quantizeRows(type, floats, columns);
      const from = layer(original, router, allExperts);
      const isExact = type === 'F32';
      const written = (stored: Uint8Array): ComparedModel =>
        layer(stack('experts', type, stored), router, allExperts);
      await compare(from, written(bytes), isExact);
      await expect(compare(from, written(exchangedStack(bytes)), isExact)).rejects.toFailWith(
        exchange,
      );
      // The written file has experts 0 to 3 instead of 2 to 5.
      const checked = compare(
        from,
        layer(stack('experts', type, bytes), router, [0, 1, 2, 3]),
        isExact,
        [2, 3, 4, 5],
      );
      await expect(checked).rejects.toFailWith(exchange);
    },
  );

  it.each(dequantizedDTypes)('notices exchanged experts that were copied as %s', async (dtype) => {
    const block = ggmlBlock(dtype);
    // Bytes below 0x3c are finite in every format.
    const bytes = Uint8Array.from(
      { length: (experts * matrix * block.bytes) / block.elements },
      () => Math.floor((random() + 0.5) * 0x3c),
    );
    const from = layer(stack('experts', dtype, bytes), router, allExperts);
    await compare(from, layer(stack('experts', dtype, bytes), router, allExperts), true);
    const written = layer(stack('experts', dtype, exchangedStack(bytes)), router, allExperts);
    await expect(compare(from, written, true)).rejects.toFailWith(exchange);
  });

  it('notices experts of another layer', async () => {
    const other = quantizeRows('Q2_K', floats.map(random), columns);
    const written = layer(stack('experts', 'Q2_K', other), router, allExperts);
    await expect(compare(layer(original, router, allExperts), written, false)).rejects.toFailWith(
      exchange,
    );
  });

  it('accepts experts that are equal or too small for the scales of their type', async () => {
    const equal = floats.map((_, i) => 1e-9 * (floats[i % matrix] ?? 0));
    const small = stack('experts', 'F32', new Uint8Array(equal.buffer));
    const written = stack('experts', 'Q4_0', quantizeRows('Q4_0', equal, columns));
    await compare(
      layer(small, router, allExperts),
      layer(written, router, [1, 0, 2, 3, 4, 5]),
      false,
    );
  });

  it.each(['gate_inp', 'down_exps', 'gate_exps', 'up_exps'])(
    'names ffn_%s of a file that has exchanged experts there',
    async (part) => {
      const model = await openModel(source);
      const file = await exchanged(new RegExp(`ffn_${part}\\.weight$`));
      const changes = checkChanges(model.summary, []);
      const how = { isExact: false, path: file };
      const checked = compareExperts(model, await openModel(file), changes, how, unattended);
      const failing = {
        code: 'experts-exchanged',
        file,
        field: `blk.0.ffn_${part}.weight`,
      } as const;
      await expect(checked).rejects.toFailWith(failing);
      await compareExperts(
        model,
        await openModel(source),
        changes,
        { ...how, isExact: true },
        unattended,
      );
    },
  );
});
