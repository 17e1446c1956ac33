import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelCache } from '../../../extension/core/models/model-cache';
import {
  bandwidthCosts,
  leastDecodeMs,
  originalDecodeMs,
} from '../../../extension/core/pipelines/decode-costs';
import { fitContext, resolveTarget } from '../../../extension/core/pipelines/fit-targets';
import { machineNames, machines } from '../../../extension/core/pipelines/machines';
import { memoryAt } from '../../../extension/core/models/model-summary';
import { openModel } from '../../../extension/core/models/open-model';
import type { Runtime } from '../../../extension/core/pipelines/runtimes';
import { fixture } from '../fixtures';
import { runtimeMemory } from '../../../extension/core/pipelines/runtime-memory';
import { weightBytes } from '../../../extension/core/pipelines/size-choices';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const model = await new ModelCache({ capacity: 1 }).open(sample);
const bytes = await weightBytes(model);

describe('memory in llama.cpp', () => {
  it('has keys and values in half precision, and the buffers that llama.cpp reserves', () => {
    const { summary } = model;
    const { weights, cache, buffers } = runtimeMemory(model, 'llama.cpp', 256);
    expect(weights).toBe(summary.bytes);
    expect(runtimeMemory(model, 'llama.cpp', 512).cache).toBe(2 * cache);
    // SmolLM2 135M: 98.25 MiB, as llama.cpp reports.
    const smol = { ...summary, vocabularySize: 49_152, hiddenSize: 576 };
    const same = { model: model.model, summary: smol };
    expect(runtimeMemory(same, 'llama.cpp', 256).buffers).toBe(98.25 * 2 ** 20);
    expect(buffers).toBeGreaterThan(0);
  });

  it('halves the cache of float32 models, which other programs keep', () => {
    const summary = { ...model.summary, dtypes: { F32: 1 } };
    const float = { model: model.model, summary };
    const [llama, others] = (['llama.cpp', 'transformers'] as const).map(
      (runtime) => runtimeMemory(float, runtime, 256).cache,
    );
    expect(llama).toBe((others ?? 0) / 2);
  });
});

describe('memory of sliding-window attention', () => {
  it('counts the window of Gemma 3 270M, and a batch in llama.cpp', () => {
    // One of six layers sees the whole context; keys and values of 256 numbers each.
    const sublayers = Array.from({ length: 18 }, (_, block) => ({
      ...{ id: `block.${block}.attention`, block, kind: 'attention' as const },
      ...{ parameters: 0, bytes: 0, flopsPerToken: 0, kvBytesPerToken: 2 * 256 * 2 },
      ...(block % 6 === 5 ? {} : { kvWindow: 512 }),
    }));
    const summary = { ...model.summary, sublayers };
    const gemma = { model: model.model, summary };
    const mebibytes = (runtime: Runtime, tokens: number): number =>
      runtimeMemory(gemma, runtime, tokens).cache / 2 ** 20;
    // llama.cpp reports 3 MiB and 15 MiB at 1024 tokens.
    expect([256, 1024, 4096].map((tokens) => mebibytes('llama.cpp', tokens))).toEqual([
      4.5,
      3 + 15,
      12 + 15,
    ]);
    expect(mebibytes('transformers', 4096)).toBe(12 + 7.5);
    expect(mebibytes('onnxruntime', 4096)).toBe(18 * 4);
    expect(memoryAt({ bytes: 5, sublayers }, 4096)).toBe(5 + (12 + 7.5) * 2 ** 20);
  });

  it.each([
    ['gemma3-text', [8, undefined, 8]],
    ['gemma2', [8, undefined, 8]],
  ])('is known of the layers of %s', async (name, windows) => {
    const { summary } = await openModel(fixture(name));
    const attention = summary.sublayers.filter(({ kind }) => kind === 'attention');
    expect(attention.map(({ kvWindow }) => kvWindow)).toEqual(windows);
  });
});

describe('a target', () => {
  it('counts memory at a context length instead of bytes of files', async () => {
    const { cache, buffers } = runtimeMemory(model, 'llama.cpp', 256);
    const target = await resolveTarget(model, 'llama.cpp', { size: '6MB', memoryAt: '256' });
    expect(target).toEqual({ kind: 'limit', bytes: 6e6 - cache - buffers });
    const share = await resolveTarget(model, 'llama.cpp', { size: '50%', memoryAt: '256' });
    const whole = bytes + cache + buffers;
    expect(share).toEqual({ kind: 'limit', bytes: Math.floor(whole / 2) - cache - buffers });
    expect(await resolveTarget(model, 'llama.cpp', { size: '6MB' })).toEqual({
      ...{ kind: 'limit', bytes: 6e6 },
    });
  });

  it('is refused if memory has no room for weights, or the context is too long', async () => {
    await expect(
      resolveTarget(model, 'llama.cpp', { size: '1MB', memoryAt: '512' }),
    ).rejects.toFailWith({
      code: 'memory-exceeded-by-context',
      file: 'espalier-sample',
      field: 'size',
    });
    expect(() => fitContext(model, { memoryAt: '8k' })).toFailWith({
      code: 'context-too-long',
      file: 'espalier-sample',
      field: 'memoryAt',
    });
  });

  it.each(machineNames)(
    'of %s is met by a small model, and is a limit of a larger one',
    async (machine) => {
      await expect(resolveTarget(model, 'llama.cpp', { machine })).rejects.toFailWith({
        code: 'model-fits-already',
        file: 'espalier-sample',
        field: 'machine',
      });
      expect(machines[machine].source).not.toBe('');
      // With a speed, the bytes of the original are the limit.
      expect(await resolveTarget(model, 'llama.cpp', { machine, speed: 1 })).toEqual({
        ...{ kind: 'limit', bytes },
      });
    },
  );
});

it('decodes as fast as the weights of a token are read, without an embedding that is looked up', () => {
  const costs = bandwidthCosts(1e9);
  const { model: layered } = model;
  const read = layered.embeddingAndHeadMatrices.filter(
    ({ place, tiedTo }) => place === 'head' || tiedTo,
  );
  const longest = Math.max(...read.map(({ weight }) => weight.length));
  const layers = layered.summary.sublayers.flatMap((_, i) => layered.sublayer(i).linearLayers);
  const linear = layers.reduce((sum, { weight }) => sum + weight.length, 0);
  expect(originalDecodeMs(model, costs)).toBeCloseTo((linear + longest) / 1e6, 9);
  const least = leastDecodeMs(model, costs);
  expect(least).toBeGreaterThan(0);
  expect(least).toBeLessThan(originalDecodeMs(model, costs) / 3);
});
