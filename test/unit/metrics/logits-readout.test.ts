import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createReadout } from '../../../extension/core/metrics/metric-readout';
import { metricNames, metrics } from '../../../extension/core/metrics/metrics';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { finalStates } from './final-states';

const ids = Int32Array.from({ length: 90 }, (_, i) => (7 * i + 3) % 40);

describe('terms of candidates', () => {
  it.each(metricNames)('are the same in slices, alone and from another head: %s', async (name) => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2 });
    const model = await openModel(folder);
    expect(model.emitter?.headIsLinear).toBe(true);
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    // Its head is no longer known to be the same, so that logits are subtracted.
    const other = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const [original, ...candidates] = await finalStates(executor, ids);
      const readout = createReadout(executor, name, metrics[name]);
      const whole = await readout.rowTerms(ids, original, candidates);
      const subtracted = createReadout(executor, name, metrics[name], { original: other });
      const others = await subtracted.rowTerms(ids, original, candidates);
      const parts = [
        await readout.rowTerms(ids, original, candidates, { from: 0, to: 37 }),
        await readout.rowTerms(ids, original, candidates, { from: 37, to: 90 }),
      ];
      for (const [i, candidate] of candidates.entries()) {
        const [alone] = await readout.rowTerms(ids, original, [candidate]);
        const slices = parts.flatMap((part) => [...(part[i] ?? [])]);
        expectClose(slices, whole[i]);
        expectClose([...(alone ?? [])], whole[i]);
        expectClose([...(others[i] ?? [])], whole[i]);
      }
    } finally {
      await executor.dispose();
      await other.dispose();
      await rm(folder, { recursive: true });
    }
  });

  it('are subtracted if the head has a logit cap', async () => {
    const model = await openModel(fixture('gemma2'));
    expect(model.emitter?.headIsLinear).toBe(false);
  });
});

function expectClose(actual: readonly number[], expected: ArrayLike<number> = []): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((term, i) => {
    const target = expected[i] ?? Number.NaN;
    expect(Math.abs(term - target)).toBeLessThan(2e-6 + 1e-4 * target);
  });
}
