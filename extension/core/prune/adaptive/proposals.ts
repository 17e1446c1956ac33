import type { Candidate } from '../candidates';
import { leastFirst } from '../least';

/** How many candidates a round considers: those expected nearest, and those measured longest ago. */
const nearest = 20;
const longestAgo = 4;
/** What the surrogate says of candidates that were measured in the round before is as good as to measure them. */
const leastAge = 2;
/** Every so many rounds all are looked at: what is expected of a candidate is less true the longer ago it was measured. */
const lookEvery = 4;
/** How many of them may win. */
const finalists = 8;

/**
 * The candidates whose first rows are worth measuring.
 * @param round counted from 0
 * @param expected distances by id
 * @param age rounds since a candidate was measured
 */
export function propose(
  candidates: readonly Candidate[],
  round: number,
  expected: ReadonlyMap<string, number>,
  age: (candidate: Candidate) => number,
): readonly Candidate[] {
  const aged = candidates.filter((candidate) => age(candidate) >= leastAge);
  if (round % lookEvery === 0) {
    return aged;
  }
  const order = byDistance(candidates, expected);
  const others = order.slice(nearest).sort((a, b) => age(b) - age(a));
  const chosen = new Set([...order.slice(0, nearest), ...others.slice(0, longestAgo)]);
  return aged.filter((candidate) => chosen.has(candidate));
}

/** The candidates worth measuring on more. */
export function chooseFinalists(
  candidates: readonly Candidate[],
  expected: ReadonlyMap<string, number>,
): readonly Candidate[] {
  const chosen = new Set(byDistance(candidates, expected).slice(0, finalists));
  return candidates.filter((candidate) => chosen.has(candidate));
}

function byDistance(
  candidates: readonly Candidate[],
  distances: ReadonlyMap<string, number>,
): Candidate[] {
  return leastFirst(candidates, ({ id }) => distances.get(id) ?? Number.NaN);
}
