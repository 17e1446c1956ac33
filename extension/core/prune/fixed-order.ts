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
  const rounds = await followOrder(plan, order, {
    ...{ step: orderStep, scorer, rows: plan.rows },
    onRound: (round, result) => {
      listener.onRound(round, result);
    },
  });
  const next = order.find((candidate) => plan.mayGo(candidate, scorer.removed));
  if (next !== undefined && !plan.isMet(scorer.removed, rounds.length)) {
    throw plan.explainNonFinite(rounds.length, next);
  }
  return { candidates: distances, rounds };
}

/** Options of measuring the orders of baselines. */
interface BaselineRun extends Pick<OrderRun, 'step' | 'estimates'> {
  /** Final states of the original on the model itself, if they are known. */
  readonly original: OriginalStates | undefined;
  /** Number of removals. */
  readonly maxRounds: number;
}

/** Measures a baseline's distances. */
export async function measureOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  { original, ...options }: BaselineRun,
): Promise<readonly Round[]> {
  const scorer = baselineScorer(plan, options.step, original);
  const found = await followOrder(plan, order, { ...options, scorer, rows: plan.baselineRows });
  scorer.end();
  return found;
}

function baselineScorer(
  { setup }: SearchPlan,
  line: string,
  original: OriginalStates | undefined,
): Scorer {
  const scorer = newScorer(setup, { line });
  if (original !== undefined) {
    scorer.startFrom(original);
  }
  return scorer;
}

/** Run over an order. */
interface OrderRun {
  readonly step: string;
  readonly scorer: Scorer;
  /** Rows of each sequence that are measured. */
  readonly rows: readonly number[];
  /** Maximum number of removals; those of the budget if absent. */
  readonly maxRounds?: number;
  /** See {@link everyDistance}. */
  readonly estimates?: boolean;
  readonly onRound?: (round: number, result: Round) => void;
}

/**
 * Measures every prefix of some orders like {@link measureOrder}, but each as one candidate, so that all go through the layers
 * together and sessions that don't fit in memory are opened once.
 */
export async function measureOrders<Name extends string>(
  plan: SearchPlan,
  orders: ReadonlyMap<Name, readonly Candidate[]>,
  { step, original, maxRounds, estimates }: BaselineRun,
): Promise<ReadonlyMap<Name, readonly Round[]>> {
  const prefixes = new Map<Name, readonly Prefix[]>();
  const candidates = new Map<string, Candidate>();
  for (const [name, order] of orders) {
    const own = await listPrefixes(plan, order, maxRounds);
    prefixes.set(name, own);
    own.forEach(({ candidate }) => candidates.set(candidate.id, candidate));
  }
  const scorer = baselineScorer(plan, step, original);
  const input = plan.input(scorer, step, [...candidates.values()], new Map(), () => undefined);
  const { distances } = await everyDistance({ ...input, rows: plan.baselineRows }, estimates);
  scorer.end();
  const measured = new Map(distances.map((one) => [one.sublayer, one]));
  return new Map(
    [...prefixes].map(([name, own]) => {
      const rounds: Round[] = [];
      for (const { removed, candidate } of own) {
        const { distance = null, standardError } = measured.get(candidate.id) ?? {};
        if (distance === null) {
          break;
        }
        rounds.push({
          removed,
          distance,
          ...(standardError === undefined ? {} : { standardError }),
        });
      }
      return [name, rounds];
    }),
  );
}

/** The first removals of an order as one candidate, whose id lists them. */
interface Prefix {
  /** Id of the last removal. */
  readonly removed: string;
  readonly candidate: Candidate;
}

async function listPrefixes(
  plan: SearchPlan,
  order: readonly Candidate[],
  maxRounds: number,
): Promise<readonly Prefix[]> {
  const prefixes: Prefix[] = [];
  while (prefixes.length < maxRounds) {
    const { members = [], first = Number.POSITIVE_INFINITY } = prefixes.at(-1)?.candidate ?? {};
    const removed = new Set(members);
    await plan.judge(removed);
    const next = order.find((candidate) => plan.mayGo(candidate, removed));
    if (next === undefined) {
      break;
    }
    const all = [...members, ...next.members].sort((a, b) => a - b);
    prefixes.push({
      removed: next.id,
      candidate: { id: all.join(), members: all, first: Math.min(first, next.first) },
    });
  }
  return prefixes;
}

/**
 * Removes candidates in the given order, skipping those that are not eligible yet, and measures every prefix until a
 * distance is not finite.
 */
export async function followOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  { step, scorer, rows, maxRounds, estimates, onRound }: OrderRun,
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
    const { winner: { distance = Number.NaN, standardError } = {} } = await everyDistance(
      input,
      estimates,
    );
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
    onRound?.(rounds.length, result);
  }
  return rounds;
}
