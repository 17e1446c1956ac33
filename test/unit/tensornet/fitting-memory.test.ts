import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import {
  gramBytes,
  gramGroups,
  memoryBesideFitting,
} from '../../../extension/core/tensornet/statistics/fitting-memory';
import { fixture } from '../fixtures';

describe('memory besides the inputs that compressions are fitted to', async () => {
  const model = await openModel(fixture('llama-gqa-untied'));
  const memoryBytes = 1e9;
  const left = (lengths: readonly number[], setting = memoryBytes): number =>
    memoryBesideFitting(
      model,
      setting,
      'cpu',
      lengths.map((length) => new Int32Array(length)),
    );

  it('leaves out the states of all tokens twice, and the sums of the inputs of one sublayer', () => {
    const { hiddenSize = 0 } = model.summary;
    const down = model.sublayer(1).linearLayers.find(({ role }) => role === 'down')?.in ?? 0;
    expect(gramBytes(model, Number.POSITIVE_INFINITY)).toBe(
      8 * (hiddenSize ** 2 + down ** 2 + Math.max(hiddenSize, down) ** 2),
    );
    expect(left([])).toBe(memoryBytes - gramBytes(model, Number.POSITIVE_INFINITY));
    expect(left([]) - left([100, 28])).toBe(2 * 128 * hiddenSize * 4);
  });

  it('leaves out the states of the original model and the sums of differences to it', () => {
    const { hiddenSize = 0 } = model.summary;
    const { linearLayers } = model.sublayer(1);
    const down = linearLayers.find(({ role }) => role === 'down')?.in ?? 0;
    const sums = gramBytes(model, Number.POSITIVE_INFINITY, true);
    expect(sums).toBe(
      12 * (hiddenSize ** 2 + down ** 2) +
        4 * down * hiddenSize +
        8 * Math.max(hiddenSize, down) ** 2,
    );
    const ids = [new Int32Array(100), new Int32Array(28)];
    expect(memoryBesideFitting(model, memoryBytes, 'cpu', ids, true)).toBe(
      memoryBytes - sums - 4 * 128 * hiddenSize * 4,
    );
  });

  it('counts the sums of every expert', async () => {
    const experts = await openModel(fixture('qwen3-moe'));
    const index = experts.summary.sublayers.findIndex(({ kind }) => kind === 'expert');
    const { linearLayers } = experts.sublayer(index);
    const downs = linearLayers.filter(({ role }) => role === 'down');
    const [{ in: inner } = { in: 0 }] = downs;
    const { hiddenSize = 0 } = experts.summary;
    expect(downs.length).toBeGreaterThan(2);
    const product = Math.max(hiddenSize, inner) ** 2;
    expect(gramBytes(experts, Number.POSITIVE_INFINITY)).toBe(
      8 * (downs.length * (hiddenSize ** 2 + inner ** 2) + product),
    );
  });

  it('counts only experts whose sums are in memory together', async () => {
    const experts = await openModel(fixture('qwen3-moe'));
    const index = experts.summary.sublayers.findIndex(({ kind }) => kind === 'expert');
    const { linearLayers } = experts.sublayer(index);
    const whole = gramBytes(experts, Number.POSITIVE_INFINITY);
    const groups = gramGroups(linearLayers, whole / 3);
    expect(groups.length).toBeGreaterThan(3);
    expect(Math.max(...groups.map(({ bytes }) => bytes))).toBeLessThanOrEqual(whole / 3);
    expect(groups.flatMap(({ ids }) => [...ids]).sort()).toEqual(
      linearLayers.map(({ id }) => id).sort(),
    );
    // The inputs of one layer are not divided.
    const { hiddenSize = 0 } = experts.summary;
    expect(gramBytes(experts, 1)).toBeGreaterThanOrEqual(2 * 8 * hiddenSize ** 2);
    expect(left([], 4e5)).toBeGreaterThanOrEqual(leastMemory(model, 'cpu'));
  });

  it('leaves enough memory to run the model', () => {
    expect(left([1e9])).toBe(leastMemory(model, 'cpu'));
    expect(left([1], 1)).toBe(leastMemory(model, 'cpu'));
  });
});
