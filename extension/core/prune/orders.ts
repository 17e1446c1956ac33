import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { BaselineName } from './options';

/** Ranks all candidates without searching; undefined where what it needs is not known. */
type Orderer = (
  candidates: readonly Candidate[],
  distances: readonly CandidateDistance[],
  seed: number,
) => readonly Candidate[] | undefined;

/** One function per baseline. */
export const orderers: Readonly<Record<BaselineName, Orderer>> = {
  /** By the distance of removing each alone. */
  'one-shot': (candidates, distances) => {
    const known = new Map(distances.map(({ sublayer, distance }) => [sublayer, distance]));
    const rank = ({ id }: Candidate): number => known.get(id) ?? Number.NaN;
    return candidates.some((candidate) => Number.isNaN(rank(candidate)))
      ? undefined
      : [...candidates].sort((a, b) => rank(a) - rank(b));
  },
  /** From the last layer to the first. */
  reverse: (candidates) => [...candidates].reverse(),
  random: (candidates, _, seed) => shuffle(candidates, seed),
};

/** Fisher–Yates with the generator mulberry32, so that a seed gives the same order everywhere. */
function shuffle<T>(items: readonly T[], seed: number): T[] {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}
