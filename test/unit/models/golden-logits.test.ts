import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { caseNames, casesWith, fixture, readFloats, readJson, relativeError } from '../fixtures';
import type { GoldenArray } from '../fixtures';

interface Golden {
  readonly inputIds: readonly (readonly number[])[];
  readonly logits: GoldenArray;
}

const memory = 1 << 30;

async function computeLogits(
  name: string,
  rows: readonly (readonly number[])[],
  removed: readonly string[] = [],
  memoryBytes = memory,
): Promise<Float32Array> {
  const model = await openModel(fixture(name));
  const executor = new LayeredExecutor(model, 'cpu', memoryBytes);
  try {
    const results: number[] = [];
    for (const row of rows) {
      let state = await executor.embed(Int32Array.from(row));
      for (const [index, sublayer] of model.summary.sublayers.entries()) {
        [state = state] = removed.includes(sublayer.id)
          ? await executor.skip(index, [state])
          : await executor.run(index, [state]);
      }
      results.push(...(await executor.logits(state)));
    }
    return Float32Array.from(results);
  } finally {
    await executor.dispose();
  }
}

describe('logits against transformers', () => {
  it.each(caseNames)('%s agrees to 1e-4', async (name) => {
    const golden = readJson<Golden>(name, 'golden.json');
    const actual = await computeLogits(name, golden.inputIds);
    expect(relativeError(actual, readFloats(name, golden.logits))).toBeLessThan(1e-4);
  });

  it.each(['llama-rope-dynamic', 'phi3-longrope'])(
    '%s agrees on a short input with other rotary frequencies',
    async (name) => {
      const golden = readJson<Golden>(name, 'golden-short.json');
      const actual = await computeLogits(name, golden.inputIds);
      expect(relativeError(actual, readFloats(name, golden.logits))).toBeLessThan(1e-4);
    },
  );

  it.each(casesWith('golden-removed.json'))('%s agrees with sublayers removed', async (name) => {
    const golden = readJson<{
      inputIds: number[][];
      cases: (GoldenArray & { removed: string[] })[];
    }>(name, 'golden-removed.json');
    for (const removedCase of golden.cases) {
      const actual = await computeLogits(name, golden.inputIds, removedCase.removed);
      expect(relativeError(actual, readFloats(name, removedCase))).toBeLessThan(1e-4);
    }
  });

  it('has the same outputs with streamed sessions', async () => {
    const { inputIds } = readJson<Golden>('llama-bf16', 'golden.json');
    const logits32 = await computeLogits('llama-bf16', inputIds);
    const streamed = await computeLogits('llama-bf16', inputIds, [], 1);
    expect(relativeError(streamed, logits32)).toBeLessThan(1e-6);
  });
});
