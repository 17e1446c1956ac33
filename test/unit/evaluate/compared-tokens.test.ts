import { describe, expect, it } from 'vitest';
import { comparePredictions } from '../../../extension/core/evaluate/compared-tokens';
import type { ComparedWindow } from '../../../extension/core/evaluate/compared-tokens';
import { Random } from '../training/random';

const makeWindow = (
  divergence: readonly number[],
  changes: Partial<ComparedWindow> = {},
): ComparedWindow => ({
  before: divergence.map(() => 1),
  after: divergence.map(() => 1),
  divergence: [...divergence],
  same: divergence.map(() => 1),
  ...changes,
});

describe('predictions of two models', () => {
  it('have percentiles of the divergence, interpolated between tokens', () => {
    // 0 … 199 over 4 windows in turn: every window has the same spread.
    const windows = [0, 1, 2, 3].map((first) =>
      makeWindow(Array.from({ length: 50 }, (_, i) => first + 4 * i)),
    );
    const { klPercentiles, klDivergence } = comparePredictions(windows);
    expect(klDivergence?.value).toBeCloseTo(99.5, 10);
    expect(klPercentiles?.median.value).toBeCloseTo(99.5, 10);
    expect(klPercentiles?.p99.value).toBeCloseTo(0.99 * 199, 10);
    expect(klPercentiles?.p999.value).toBeCloseTo(0.999 * 199, 10);
    expect(klPercentiles?.maximum).toBe(199);
    expect(klPercentiles?.p99.low).toBeLessThan(0.99 * 199);
    expect(klPercentiles?.p999.high).toBe(199);
  });

  it('have percentile intervals with the stated coverage', () => {
    const random = new Random(7);
    // Divergences e^(n + level of the window), so that tokens of one window are alike: the median over all windows is 1.
    let covered = 0;
    for (let trial = 0; trial < 300; trial++) {
      const windows = Array.from({ length: 24 }, () => {
        const level = random.normal();
        return makeWindow(Array.from({ length: 40 }, () => Math.exp(level + random.normal())));
      });
      const { low = 9, high = 0 } = comparePredictions(windows).klPercentiles?.median ?? {};
      covered += low < 1 && 1 < high ? 1 : 0;
    }
    expect(covered / 300).toBeGreaterThan(0.9);
    expect(covered / 300).toBeLessThan(0.99);
  });

  it('have the root mean square change of the probability of the next token', () => {
    const changes = [0.1, -0.2, 0.3, 0];
    const windows = [0, 1, 2, 3].map(() =>
      makeWindow([0, 0, 0, 0], {
        before: changes.map(() => -Math.log(0.5)),
        after: changes.map((change) => -Math.log(0.5 + change)),
        same: [1, 1, 1, 0],
      }),
    );
    const { probabilityChange, agreement } = comparePredictions(windows);
    expect(probabilityChange?.value).toBeCloseTo(Math.sqrt((0.01 + 0.04 + 0.09) / 4), 12);
    expect(agreement?.value).toBe(0.75);
  });

  it('have no interval for too few windows', () => {
    expect(comparePredictions([makeWindow([1]), makeWindow([2]), makeWindow([3])])).toEqual({});
  });
});
