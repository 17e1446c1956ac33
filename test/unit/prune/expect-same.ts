import { expect } from 'vitest';
import type { SearchResult } from '../../../extension/core/prune/search';

/** Order and distances of `actual` must be those of `naive`; what was stopped early must be worse. */
export function expectSame(actual: SearchResult, naive: SearchResult): void {
  const tolerance = 1e-4;
  expect(actual.rounds.map((round) => round.removed)).toEqual(
    naive.rounds.map((round) => round.removed),
  );
  expect(actual.candidates.map(({ sublayer }) => sublayer)).toEqual(
    naive.candidates.map(({ sublayer }) => sublayer),
  );
  actual.rounds.forEach((round, i) => {
    const reference = naive.rounds[i];
    const target = reference?.distance ?? Number.NaN;
    expect(Math.abs(round.distance - target)).toBeLessThanOrEqual(tolerance * target);
    const known = new Map(reference?.candidates?.map((one) => [one.sublayer, one.distance]));
    for (const { sublayer, distance, atLeast } of round.candidates ?? []) {
      const full = known.get(sublayer) ?? Number.NaN;
      if (distance === null) {
        expect(full).toBeGreaterThanOrEqual((atLeast ?? 0) * (1 - tolerance));
        // What may not be removed is not measured at all, and may be nearer than the winner.
        const wasMeasured = atLeast !== undefined;
        expect(wasMeasured && full < target * (1 - tolerance)).toBe(false);
      } else {
        expect(Math.abs(distance - full)).toBeLessThanOrEqual(tolerance * full);
      }
    }
  });
}
