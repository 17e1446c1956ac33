import { seededRandom, shuffle } from '../data/random';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import { leastFirst } from './least';
import type { BaselineName } from './options';

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
