import { AdaptiveRounds } from './adaptive/adaptive';
import { CosineLocal } from './cosine-local';
import { measureOrder, measureOrders, ranked } from './fixed-order';
import type { Candidate } from './candidates';
import type { CandidateDistance, Refinement, Round, Stability } from './layer-profile';
import { isBaseline } from './options';
import type { BaselineName, SearchSettings } from './options';
import { orderers } from './least';
import { refine, refinedStep } from './refinement/refine';
import { refuseNonFinite } from './scorer';
import type { OriginalStates, Scorer, ScorerSetup } from './scorer';
import type { SearchListener } from './search-progress';
import { orderStep, roundStep, SearchPlan } from './search-plan';
import { roundsByText, measureStability } from './stability';
import { newScorer } from './shards/new-scorer';
import { say } from '../message';
import { everyDistance, lazy, race } from './rounds';
import type { Strategy } from './rounds';

/** Strategies after the first round, which measures every distance in full for the heatmap. */
const laterRounds = { exact: race, lazy, naive: everyDistance } as const;

/** Returns the strategy for round n, from 1. */
function roundStrategies(
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
async function greedy(
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

/** Result of a search. */
export interface SearchResult {
  /** Cheap local preview by sublayer. */
  readonly cosineLocal: readonly CandidateDistance[];
  /** Distances of the first round, in model order. */
  readonly candidates: readonly CandidateDistance[];
  readonly rounds: readonly Round[];
  /** Present if the rounds are those of a refinement. */
  readonly refinement?: Refinement;
  /** Dependence of distances on the text, if measured. */
  readonly stability?: Stability;
  /** Time and work of the search itself, without baselines. */
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  readonly naiveSublayerEvaluations: number;
  readonly baselines: Readonly<Partial<Record<BaselineName, readonly Round[]>>>;
}

/** Known results of a finished search, so that it can be refined without repeating it. */
export type FinishedSearch = Pick<SearchResult, 'candidates' | 'rounds' | 'stability'>;

/** Prefix of the steps of baselines. */
export const baselineStep = 'baseline.';

/**
 * Finds the best removal order (FinerCut, arXiv 2405.18218): greedily removes the candidate whose removal keeps the
 * logits closest to the original's.
 * @param finished results of this search, if only its refinement or baselines remain
 */
export async function search(
  settings: SearchSettings,
  setup: ScorerSetup,
  listener: SearchListener,
  finished?: FinishedSearch,
): Promise<SearchResult> {
  const plan = new SearchPlan(settings, setup);
  const all = [...setup.sequences.keys()];
  const cosine = new CosineLocal(setup);
  const startOn = async (sequences: readonly number[]): Promise<OriginalStates> => {
    const isFused = plan.isStreamed && plan.hasPrefixes;
    const first = isFused ? adaptive?.firstMeasurement(`${roundStep}.1`) : undefined;
    const states = await scorer.start(sequences, cosine, first);
    await refuseNonFinite(setup, states);
    listener.onCosineLocal(cosine.distances());
    return states;
  };
  const isAdaptive = finished === undefined && plan.isAdaptive;
  // If row counts are known, the rough heatmap need not wait for all sequences.
  const isLazy = isAdaptive && plan.hasPrefixes && !plan.isStreamed;
  const adaptive = isAdaptive
    ? new AdaptiveRounds(plan, async () => {
        if (isLazy) {
          await startOn(all.slice(plan.texts));
        }
      })
    : undefined;
  const scorer: Scorer = newScorer(setup, {
    line: roundStep,
    naive: settings.mode === 'naive',
    screens: isAdaptive,
    onFinal: adaptive?.onFinal,
  });
  const before = setup.work.evaluations;
  const started = performance.now();
  listener.onStage(say`Original`);
  const original = await startOn(isLazy ? all.slice(0, plan.texts) : all);
  plan.rows = await Promise.all(all.map(async (sequence) => scorer.rows(sequence)));
  await adaptive?.start(original);
  const found = await (finished === undefined
    ? isBaseline(settings.mode)
      ? ranked(plan, settings.mode, scorer, listener)
      : greedy(plan, roundStrategies(settings, adaptive), scorer, listener)
    : replaySearch(finished, listener));
  // The following steps have their own scorers and need the memory.
  scorer.end();
  adaptive?.end();
  /** Final states of the model itself, if the search used its int8 copy. */
  const modelStates = async (sequences: readonly number[]): Promise<OriginalStates> => {
    if (setup.copy === undefined || !isAdaptive) {
      return original;
    }
    const runner = newScorer(setup, { line: `${baselineStep}original` });
    const states = new Map(await runner.start(sequences));
    runner.end();
    return states;
  };
  const { rounds, ...refinement } =
    settings.refine === undefined || found.rounds.length === 0
      ? { rounds: found.rounds }
      : await refine(plan, settings.refine, await modelStates(all), found.rounds, listener);
  const seconds = (performance.now() - started) / 1000;
  const sublayerEvaluations = setup.work.evaluations - before;
  // If sessions are opened for each pass, the original is run in the pass of the baselines.
  const hasOriginal = setup.copy === undefined || !isAdaptive || setup.executor.keepsSessions;
  const compared =
    settings.baselines.length > 0 && hasOriginal
      ? await modelStates([...plan.baselineRows.keys()])
      : undefined;
  const baselines = await measureBaselines(settings, plan, found, compared, listener);
  const isRefined = rounds !== found.rounds;
  const step = isRefined ? refinedStep : isBaseline(settings.mode) ? orderStep : roundStep;
  const stability =
    finished === undefined
      ? measureStability(plan, rounds, step)
      : finished.stability && {
          ...finished.stability,
          ...(isRefined ? { rounds: roundsByText(plan, rounds, step) } : {}),
        };
  return {
    ...found,
    rounds,
    ...('method' in refinement ? { refinement } : {}),
    ...(stability === undefined ? {} : { stability }),
    cosineLocal: cosine.distances(),
    seconds,
    sublayerEvaluations,
    naiveSublayerEvaluations: plan.naiveEvaluations(found.rounds),
    baselines,
  };
}

/** Measures the orders of the requested baselines, each with as many removals as the search has rounds. */
async function measureBaselines(
  settings: SearchSettings,
  plan: SearchPlan,
  found: Pick<SearchResult, 'candidates' | 'rounds'>,
  original: OriginalStates | undefined,
  listener: SearchListener,
): Promise<SearchResult['baselines']> {
  const baselines: Partial<Record<BaselineName, readonly Round[]>> = {};
  const orders = new Map<BaselineName, readonly Candidate[]>();
  for (const name of settings.baselines.filter((baseline) => baseline !== settings.mode)) {
    const order = orderers[name](plan.candidates, found.candidates, settings.seed);
    if (order !== undefined) {
      orders.set(name, order);
    }
  }
  const options = { original, maxRounds: found.rounds.length, estimates: plan.isAdaptive };
  const isTogether = !plan.setup.executor.keepsSessions && orders.size > 0;
  if (isTogether) {
    listener.onStage(say`Baseline: ${[...orders.keys()].join(', ')}`);
  }
  const together = isTogether
    ? await measureOrders(plan, orders, { ...options, step: `${baselineStep}orders` })
    : undefined;
  for (const [name, order] of orders) {
    if (together === undefined) {
      listener.onStage(say`Baseline: ${name}`);
    }
    const rounds =
      together?.get(name) ??
      (await measureOrder(plan, order, { ...options, step: `${baselineStep}${name}` }));
    baselines[name] = rounds;
    listener.onBaseline(name, rounds);
  }
  return baselines;
}

/** Reports a finished search to the listener as if it had just run. */
function replaySearch(
  { candidates, rounds }: FinishedSearch,
  listener: SearchListener,
): Pick<SearchResult, 'candidates' | 'rounds'> {
  for (const candidate of candidates) {
    listener.onCandidate(1, candidate);
  }
  for (const [i, round] of rounds.entries()) {
    listener.onRound(i + 1, round);
  }
  return { candidates, rounds };
}
