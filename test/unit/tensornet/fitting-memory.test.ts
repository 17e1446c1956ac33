import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import {
  gramBytes,
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

  it('leaves out the states of all tokens twice, and a sum of the widest inputs', () => {
    const { hiddenSize = 0 } = model.summary;
    const widest = Math.max(
      ...model.summary.sublayers.flatMap((_, index) =>
        model.sublayer(index).linearLayers.map((layer) => layer.in),
      ),
    );
    expect(gramBytes(model)).toBe(2 * 8 * widest ** 2);
    expect(left([])).toBe(memoryBytes - gramBytes(model));
    expect(left([]) - left([100, 28])).toBe(2 * 128 * hiddenSize * 4);
  });

  it('leaves what the model needs to run', () => {
    expect(left([1e9])).toBe(leastMemory(model, 'cpu'));
    expect(left([1], 1)).toBe(leastMemory(model, 'cpu'));
  });
});
