import { expect } from 'vitest';
import type { SearchResult } from '../../../extension/core/prune/search';

/**
 * What float32 rounding may change of a distance. Divergences are quadratic in the change of the logits, so that
 * rounding of the logits by e changes a distance d by about e √d, which outweighs the relative part where d is small.
 */
function rounding(distance: number): number {
  return 1e-4 * distance + 1e-6 * Math.sqrt(distance);
}

/** Order and distances of `actual` must be those of `naive`; what was stopped early must be worse. */
export function expectSame(actual: SearchResult, naive: SearchResult): void {
  expect(actual.rounds.map((round) => round.removed)).toEqual(
    naive.rounds.map((round) => round.removed),
  );
  expect(actual.candidates.map(({ sublayer }) => sublayer)).toEqual(
    naive.candidates.map(({ sublayer }) => sublayer),
  );
  actual.rounds.forEach((round, i) => {
    const reference = naive.rounds[i];
    const target = reference?.distance ?? Number.NaN;
    expect(Math.abs(round.distance - target)).toBeLessThanOrEqual(rounding(target));
    const known = new Map(reference?.candidates?.map((one) => [one.sublayer, one.distance]));
    for (const { sublayer, distance, atLeast } of round.candidates ?? []) {
      const full = known.get(sublayer) ?? Number.NaN;
      if (distance === null) {
        expect(full).toBeGreaterThanOrEqual((atLeast ?? 0) - rounding(full));
        // What may not be removed is not measured at all, and may be nearer than the winner.
        const wasMeasured = atLeast !== undefined;
        expect(wasMeasured && full < target - rounding(target)).toBe(false);
      } else {
        expect(Math.abs(distance - full)).toBeLessThanOrEqual(rounding(full));
      }
    }
  });
}
