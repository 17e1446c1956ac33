import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { int8Copy } from '../../../extension/core/models/int8-copy';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { defaultSettings } from '../../../extension/core/prune/options';
import { planScreening } from '../../../extension/core/prune/screening-copy';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { runSearch } from './run-search';

vi.mock(import('../../../extension/core/runtime/limits/integer-sums'), () => ({
  integerSumsAreWhole: async () => Promise.resolve(isFast),
}));
let isFast = true;

// A vocabulary that is sampled, and MLPs that are large enough to be rounded.
const shape = { seed: 11, blocks: 4, inner: 1536, vocabulary: 6400 };
let folder = '';
let model: LayeredModel;
beforeAll(async () => {
  folder = await makeRandomModel(shape);
  model = await openModel(folder);
});
afterAll(async () => rm(folder, { recursive: true }));

const sequences = (count: number, length: number): number[][] => {
  const random = seededRandom(3);
  return Array.from({ length: count }, () =>
    Array.from({ length }, () => Math.floor(random() * shape.vocabulary)),
  );
};

function copyModel(one: LayeredModel): LayeredModel {
  const copy = int8Copy(one);
  if (copy === undefined) {
    throw new Error('the model has nothing to round');
  }
  return copy;
}

describe('an int8 copy of a model', () => {
  it('has nearly the logits of the model', async () => {
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    const copied = new LayeredExecutor(copyModel(model), 'cpu', 1 << 28, { around: executor });
    const computeLogits = async (one: LayeredExecutor): Promise<Float32Array> => {
      let state = await one.embed(Int32Array.from(sequences(1, 24)[0] ?? []));
      for (const index of model.summary.sublayers.keys()) {
        [state = state] = await one.run(index, [state]);
      }
      return one.logits(state);
    };
    try {
      const [exact, rounded] = [await computeLogits(executor), await computeLogits(copied)];
      const norm = Math.hypot(...exact.subarray(0, 6400));
      const error = Math.hypot(...exact.subarray(0, 6400).map((x, i) => x - (rounded[i] ?? 0)));
      expect(error).toBeGreaterThan(0);
      expect(error / norm).toBeLessThan(0.05);
    } finally {
      await copied.dispose();
      await executor.dispose();
    }
  });

  it('is not made for a model with small layers', async () => {
    expect(int8Copy(await openModel(fixture('llama-bf16')))).toBeUndefined();
  });
});

describe('a search on an int8 copy', () => {
  it('reports distances of the model itself, and removes nearly the same as float32', async () => {
    const run = { folder, sequences: sequences(2, 64) };
    const settings = { budget: { kind: 'count', count: 3 } } as const;
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    const copy = new LayeredExecutor(copyModel(model), 'cpu', 1 << 28, { around: executor });
    try {
      const screened = await runSearch({ ...run, settings, executor, copy });
      const exact = await runSearch({ ...run, settings: { ...settings, mode: 'exact' }, executor });
      const [first] = screened.rounds;
      const same = exact.candidates.find(({ sublayer }) => sublayer === first?.removed);
      // All rows are confirmed in float32, so nothing of the copy is left in the distance.
      expect(first?.distance).toBeCloseTo(same?.distance ?? Number.NaN, 6);
      const last = screened.rounds.at(-1)?.distance ?? Number.NaN;
      expect(last / (exact.rounds.at(-1)?.distance ?? Number.NaN)).toBeLessThan(1.05);
    } finally {
      await copy.dispose();
      await executor.dispose();
    }
  });
});

describe('planScreening', () => {
  const where = { device: 'cpu', memoryBytes: 1 << 30, isShared: false } as const;

  it('uses int8 if the processor has instructions for it, and divides the memory', async () => {
    isFast = true;
    const plan = await planScreening(model, defaultSettings, where);
    expect(plan?.copy).toBeDefined();
    expect((plan?.copyBytes ?? 0) + (plan?.modelBytes ?? 0)).toBe(1 << 30);
    isFast = false;
    expect(await planScreening(model, defaultSettings, where)).toBeUndefined();
    const asked = { ...defaultSettings, arithmetic: 'int8' } as const;
    expect(await planScreening(model, asked, where)).toBeDefined();
  });

  it('stays in float32 for exact searches and if float32 is requested', async () => {
    isFast = true;
    for (const settings of [
      { ...defaultSettings, mode: 'exact' },
      { ...defaultSettings, confidence: 1 },
      { ...defaultSettings, arithmetic: 'float32' },
    ] as const) {
      expect(await planScreening(model, settings, where)).toBeUndefined();
    }
  });

  it.each([
    ['screening-on-cpu-only', { device: 'webgpu' }],
    ['screening-search-shared', { isShared: true }],
    ['screening-memory-short', { memoryBytes: 1 << 20 }],
  ] as const)('refuses int8 if unsupported: %s', async (code, other) => {
    const asked = { ...defaultSettings, arithmetic: 'int8' } as const;
    const planned = planScreening(model, asked, { ...where, ...other });
    await expect(planned).rejects.toFailWith({
      ...{ code, file: model.summary.path, field: 'arithmetic' },
    });
  });

  it('reports a model with a small vocabulary as unsupported', async () => {
    const small = await openModel(fixture('llama-bf16'));
    const asked = { ...defaultSettings, arithmetic: 'int8' } as const;
    await expect(planScreening(small, asked, where)).rejects.toFailWith({
      ...{ code: 'screening-vocabulary-small', file: 'llama-bf16', field: 'arithmetic' },
    });
  });
});
