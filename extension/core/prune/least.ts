import { seededRandom, shuffle } from '../data/random';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { BaselineName } from './options';

/** Compares values; NaN counts as the greatest. */
function compare(a: number, b: number): number {
  const [x, y] = [a, b].map((one) => (Number.isNaN(one) ? Number.POSITIVE_INFINITY : one));
  return x === y ? 0 : (x ?? 0) < (y ?? 0) ? -1 : 1;
}

/** Item with the lowest value; the first one for ties. NaN counts as the greatest. */
export function least<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || compare(value(item), value(best)) < 0 ? item : best),
    undefined,
  );
}

/** Items sorted by ascending value; NaN last. */
export const leastFirst = <T>(items: readonly T[], value: (item: T) => number): T[] =>
  [...items].sort((a, b) => compare(value(a), value(b)));

/** Ranks all candidates without searching; undefined if the required distances are unknown. */
type Orderer = (
  candidates: readonly Candidate[],
  distances: readonly CandidateDistance[],
  seed: number,
) => readonly Candidate[] | undefined;

/** Ranking functions by baseline. */
export const orderers: Readonly<Record<BaselineName, Orderer>> = {
  /** By the distance of removing each candidate alone. */
  'one-shot': (candidates, distances) => {
    const known = new Map(distances.map(({ sublayer, distance }) => [sublayer, distance]));
    const rank = ({ id }: Candidate): number => known.get(id) ?? Number.NaN;
    return candidates.every((candidate) => Number.isNaN(rank(candidate)))
      ? undefined
      : leastFirst(candidates, rank);
  },
  /** From the last layer to the first. */
  reverse: (candidates) => [...candidates].reverse(),
  random: (candidates, _, seed) => shuffle(candidates, seededRandom(seed)),
};
