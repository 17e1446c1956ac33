import type { AdaptiveRounds } from './adaptive/adaptive';
import type { CandidateDistance, Round } from './layer-profile';
import type { SearchSettings } from './options';
import { everyDistance, lazy, race } from './rounds';
import type { Strategy } from './rounds';
import type { Scorer } from './scorer';
import type { SearchListener } from './search-progress';
import { roundStep } from './search-plan';
import type { SearchPlan } from './search-plan';
import { say } from '../message';

/** Strategies after the first round, which measures every distance in full for the heatmap. */
const laterRounds = { exact: race, lazy, naive: everyDistance } as const;

/** Returns the strategy for round n, from 1. */
export function roundStrategies(
  { mode, everyDistance: inFull }: SearchSettings,
  adaptive: AdaptiveRounds | undefined,
): (round: number) => Strategy {
  if (adaptive !== undefined) {
    return () => adaptive.round;
  }
  const later = mode === 'lazy' || mode === 'naive' ? laterRounds[mode] : laterRounds.exact;
  return (round) => (round === 1 || inFull ? everyDistance : later);
}

/** Removes candidates one by one, each time the one with the lowest distance. */
export async function greedy(
  plan: SearchPlan,
  strategyOf: (round: number) => Strategy,
  scorer: Scorer,
  listener: SearchListener,
): Promise<{ candidates: readonly CandidateDistance[]; rounds: readonly Round[] }> {
  const rounds: Round[] = [];
  const expected = new Map<string, number>();
  let first: readonly CandidateDistance[] = [];
  while (!plan.isMet(scorer.removed, rounds.length)) {
    const round = rounds.length + 1;
    const left = plan.remaining(scorer.removed);
    await plan.judge(scorer.removed);
    if (!left.some((candidate) => plan.mayGo(candidate, scorer.removed))) {
      break;
    }
    listener.onStage(say`Round ${round}`);
    const result = await strategyOf(round)(
      plan.input(scorer, `${roundStep}.${round}`, left, expected, (distance) => {
        listener.onCandidate(round, distance);
      }),
    );
    if (result.winner === undefined) {
      break;
    }
    const { candidate, ...decided } = result.winner;
    if (!Number.isFinite(decided.distance)) {
      throw plan.explainNonFinite(rounds.length);
    }
    first = round === 1 ? result.distances : first;
    for (const [id, total] of result.totals) {
      if (total > (expected.get(id) ?? 0)) {
        expected.set(id, total);
      }
    }
    scorer.commit(
      candidate,
      left.filter((other) => other !== candidate),
    );
    const found = { removed: candidate.id, ...decided, candidates: result.distances };
    rounds.push(found);
    listener.onRound(round, found);
  }
  return { candidates: first, rounds };
}
