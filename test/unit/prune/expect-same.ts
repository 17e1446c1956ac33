import { expect } from 'vitest';
import type { SearchResult } from '../../../extension/core/prune/search';

/**
 * What float32 rounding may change of a distance. Divergences are differences of sums between 1 and 2 for each token,
 * which have steps of 2⁻²³: a small one, as of an expert that hardly any token is sent to, is known no better.
 */
function rounding(distance: number): number {
  return 1e-4 * distance + 2 ** -23;
}

/**
 * Order and distances of `actual` must be those of `naive`; what was stopped early must be worse. Where rounding alone
 * decides a round the two may go different ways, and what follows is not compared.
 */
export function expectSame(actual: SearchResult, naive: SearchResult): void {
  expect(actual.candidates.map(({ sublayer }) => sublayer)).toEqual(
    naive.candidates.map(({ sublayer }) => sublayer),
  );
  expect(actual.rounds).toHaveLength(naive.rounds.length);
  for (const [i, round] of actual.rounds.entries()) {
    const reference = naive.rounds[i];
    const target = reference?.distance ?? Number.NaN;
    expect(Math.abs(round.distance - target)).toBeLessThanOrEqual(rounding(target));
    const known = new Map(reference?.candidates?.map((one) => [one.sublayer, one.distance]));
    for (const { sublayer, distance, atLeast } of round.candidates ?? []) {
      const full = known.get(sublayer) ?? Number.NaN;
      if (distance === null) {
        expect(full).toBeGreaterThanOrEqual((atLeast ?? 0) - rounding(full));
        // Protected units are not measured at all, and may be nearer than the winner.
        const wasMeasured = atLeast !== undefined;
        expect(wasMeasured && full < target - rounding(target)).toBe(false);
      } else {
        expect(Math.abs(distance - full)).toBeLessThanOrEqual(rounding(full));
      }
    }
    if (round.removed !== reference?.removed) {
      const full = known.get(round.removed) ?? Number.NaN;
      expect(full - target, `${round.removed} for ${reference?.removed}`).toBeLessThanOrEqual(
        rounding(target),
      );
      return;
    }
  }
}
