import type { Candidate } from './candidates';
import type { CandidateDistance, Round } from './layer-profile';
import type { BaselineName } from './options';
import { orderers } from './least';
import { everyDistance } from './rounds';
import type { OriginalStates, Scorer } from './scorer';
import type { SearchListener } from './search-progress';
import { orderStep, roundStep } from './search-plan';
import type { SearchPlan } from './search-plan';
import { newScorer } from './shards/new-scorer';
import { say } from '../message';

/** Runs a baseline as the search: the order is fixed, only distances are measured. */
export async function ranked(
  plan: SearchPlan,
  name: BaselineName,
  scorer: Scorer,
  listener: SearchListener,
): Promise<{ candidates: readonly CandidateDistance[]; rounds: readonly Round[] }> {
  let distances: readonly CandidateDistance[] = plan.candidates.map(({ id }) => ({
    sublayer: id,
    distance: null,
  }));
  if (name === 'one-shot') {
    listener.onStage(say`Round ${1}`);
    const input = plan.input(scorer, `${roundStep}.1`, plan.candidates, new Map(), (distance) => {
      listener.onCandidate(1, distance);
    });
    ({ distances } = await everyDistance(input));
  }
  const order = orderers[name](plan.candidates, distances, plan.settings.seed) ?? plan.candidates;
  listener.onStage(say`Order: ${name}`);
  const rounds = await followOrder(
    plan,
    order,
    orderStep,
    scorer,
    plan.rows,
    undefined,
    (round, result) => {
      listener.onRound(round, result);
    },
  );
  const next = order.find((candidate) => plan.mayGo(candidate, scorer.removed));
  if (next !== undefined && !plan.isMet(scorer.removed, rounds.length)) {
    throw plan.explainNonFinite(rounds.length, next);
  }
  return { candidates: distances, rounds };
}

/** Measures a baseline's distances over as many rounds as the search took. */
export async function measureOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  step: string,
  original: OriginalStates,
  rounds: number,
): Promise<readonly Round[]> {
  const scorer = newScorer(plan.setup, { line: step });
  scorer.startFrom(original);
  const { baselineRows: rows } = plan;
  const found = await (plan.setup.executor.keepsSessions
    ? followOrder(plan, order, step, scorer, rows, rounds, () => undefined)
    : measurePrefixes(plan, order, step, scorer, rows, rounds));
  scorer.end();
  return found;
}

/**
 * Measures every prefix of an order like {@link followOrder}, but each as one candidate, so that all go through the layers
 * together and sessions that don't fit in memory are opened once.
 */
async function measurePrefixes(
  plan: SearchPlan,
  order: readonly Candidate[],
  step: string,
  scorer: Scorer,
  rows: readonly number[],
  maxRounds: number,
): Promise<readonly Round[]> {
  const prefixes: Candidate[] = [];
  while (prefixes.length < maxRounds) {
    const { members = [], first = Number.POSITIVE_INFINITY } = prefixes.at(-1) ?? {};
    const removed = new Set(members);
    await plan.judge(removed);
    const next = order.find((candidate) => plan.mayGo(candidate, removed));
    if (next === undefined) {
      break;
    }
    prefixes.push({
      id: next.id,
      members: [...members, ...next.members].sort((a, b) => a - b),
      first: Math.min(first, next.first),
    });
  }
  const input = plan.input(scorer, step, prefixes, new Map(), () => undefined);
  const { distances } = await everyDistance({ ...input, rows });
  const rounds: Round[] = [];
  for (const { sublayer, distance, standardError } of distances) {
    if (distance === null) {
      break;
    }
    const error = standardError === undefined ? {} : { standardError };
    rounds.push({ removed: sublayer, distance, ...error });
  }
  return rounds;
}

/**
 * Removes candidates in the given order, skipping those that are not eligible yet, and measures every prefix until a
 * distance is not finite.
 */
export async function followOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  step: string,
  scorer: Scorer,
  rows: readonly number[],
  maxRounds: number | undefined,
  onRound: (round: number, result: Round) => void,
): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  const isDone = (): boolean =>
    maxRounds === undefined
      ? plan.isMet(scorer.removed, rounds.length)
      : rounds.length === maxRounds;
  while (!isDone()) {
    await plan.judge(scorer.removed);
    const next = order.find((candidate) => plan.mayGo(candidate, scorer.removed));
    if (next === undefined) {
      break;
    }
    const input = {
      ...plan.input(scorer, `${step}.${rounds.length + 1}`, [next], new Map(), () => undefined),
      rows,
    };
    const { winner: { distance = Number.NaN, standardError } = {} } = await everyDistance(input);
    if (!Number.isFinite(distance)) {
      break;
    }
    // A ranking may have measured them individually.
    scorer.commit(
      next,
      order.filter((other) => other !== next),
    );
    const result = {
      removed: next.id,
      distance,
      ...(standardError === undefined ? {} : { standardError }),
    };
    rounds.push(result);
    onRound(rounds.length, result);
  }
  return rounds;
}
