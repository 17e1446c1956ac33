import type { ModelSummary } from '../models/model-summary';
import type { Candidate } from './candidates';

/** How many are measured in a round: the nearest by prediction, and some that keep predictions honest. */
const nearest = 4;
const nearestFeedforwards = 2;
const nearestAttentions = 1;
const longestAgo = 1;
const inAll = nearest + nearestFeedforwards + nearestAttentions + longestAgo;

/**
 * The candidates that are worth measuring.
 * @param predicted distances by id
 * @param age rounds since a candidate was measured
 */
export function propose(
  candidates: readonly Candidate[],
  predicted: ReadonlyMap<string, number>,
  sublayers: ModelSummary['sublayers'],
  age: (candidate: Candidate) => number,
): readonly Candidate[] {
  const distance = ({ id }: Candidate): number => predicted.get(id) ?? Number.POSITIVE_INFINITY;
  const order = [...candidates].sort((a, b) => distance(a) - distance(b));
  const chosen = new Set(order.slice(0, nearest));
  const add = (count: number, from: readonly Candidate[]): void => {
    const others = from.filter((candidate) => !chosen.has(candidate));
    others.slice(0, count).forEach((candidate) => chosen.add(candidate));
  };
  const ofKind = (kind: string): Candidate[] =>
    order.filter(({ first }) => sublayers[first]?.kind === kind);
  add(nearestFeedforwards, ofKind('feedforward'));
  add(nearestAttentions, ofKind('attention'));
  add(
    longestAgo,
    [...order].sort((a, b) => age(b) - age(a)),
  );
  add(inAll - chosen.size, order);
  return candidates.filter((candidate) => chosen.has(candidate));
}
