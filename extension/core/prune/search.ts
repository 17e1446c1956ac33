import { explainNonFinite } from '../runtime/non-finite';
import { isFiniteState } from '../runtime/tensors';
import type { ModelSummary } from '../models/model-summary';
import { UserError } from '../user-error';
import { checkBudget, eligibility, listCandidates } from './candidates';
import type { Candidate } from './candidates';
import { CosineLocal } from './cosine-local';
import type { CandidateDistance, Round } from './layer-profile';
import { NaiveScorer } from './naive-scorer';
import type { BaselineName, Granularity, SearchMode, SearchSettings } from './options';
import { orderers } from './orders';
import { everyDistance, lazy, race } from './rounds';
import type { RoundInput, Strategy } from './rounds';
import { sequenceOf } from './scorer';
import type { OriginalStates, Scorer, ScorerSetup } from './scorer';
import { TrajectoryScorer } from './trajectory-scorer';

/** What a search found. */
export interface SearchResult {
  /** A cheap local preview, by sublayer. */
  readonly cosineLocal: readonly CandidateDistance[];
  /** Distances of the first round, in model order. */
  readonly candidates: readonly CandidateDistance[];
  readonly rounds: readonly Round[];
  /** Time and work of the search itself, the baselines not counted. */
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  readonly naiveSublayerEvaluations: number;
  readonly baselines: Readonly<Partial<Record<BaselineName, readonly Round[]>>>;
}

/** Called as results become known. Rounds count from 1. */
export interface SearchListener {
  onCosineLocal(distances: readonly CandidateDistance[]): void;
  onCandidate(round: number, distance: CandidateDistance): void;
  onRound(round: number, result: Round): void;
  onBaseline(name: BaselineName, rounds: readonly Round[]): void;
  /** Before each round: its number, and how many are expected in all. */
  onStage(stage: string): void;
}

/** Steps of baselines begin with this. */
export const baselineStep = 'baseline.';

/** How the rounds after the first are decided. */
const strategies: Readonly<Record<'exact' | 'lazy' | 'naive', Strategy>> = {
  exact: race,
  lazy,
  naive: everyDistance,
};

/**
 * Finds the order in which candidates are best removed (FinerCut, arXiv 2405.18218): greedily, each
 * time the candidate whose removal leaves the logits nearest to the original's.
 */
export async function search(
  settings: SearchSettings,
  setup: ScorerSetup,
  listener: SearchListener,
): Promise<SearchResult> {
  const plan = new SearchPlan(settings, setup);
  const scorer: Scorer =
    settings.mode === 'naive' ? new NaiveScorer(setup) : new TrajectoryScorer(setup);
  const before = setup.work.evaluations;
  const started = performance.now();
  listener.onStage('Original');
  const cosine = new CosineLocal(setup);
  const original = await scorer.start([...setup.sequences.keys()], cosine.observe);
  listener.onCosineLocal(cosine.distances());
  await refuseNonFinite(setup, original);
  plan.rows = await Promise.all(setup.sequences.map(async (_, i) => scorer.rows(i)));
  const found = await (isGreedy(settings.mode)
    ? greedy(plan, settings.mode, scorer, listener)
    : ranked(plan, settings.mode, scorer, listener));
  const seconds = (performance.now() - started) / 1000;
  const sublayerEvaluations = setup.work.evaluations - before;
  const baselines: Partial<Record<BaselineName, readonly Round[]>> = {};
  for (const name of settings.baselines.filter((baseline) => baseline !== settings.mode)) {
    const order = orderers[name](plan.candidates, found.candidates, settings.seed);
    if (order !== undefined) {
      listener.onStage(`Baseline: ${name}`);
      const rounds = await measureOrder(
        plan,
        order,
        `${baselineStep}${name}`,
        original,
        found.rounds.length,
      );
      baselines[name] = rounds;
      listener.onBaseline(name, rounds);
    }
  }
  return {
    ...found,
    cosineLocal: cosine.distances(),
    seconds,
    sublayerEvaluations,
    naiveSublayerEvaluations: plan.naiveEvaluations(found.rounds),
    baselines,
  };
}

/** Distances to numbers that are not finite mean nothing: the fault is in the weights. */
async function refuseNonFinite(setup: ScorerSetup, original: OriginalStates): Promise<void> {
  for (const [sequence, state] of original) {
    if (!isFiniteState(state)) {
      throw await explainNonFinite(setup.executor, sequenceOf(setup, sequence));
    }
  }
}

/** The parts of a search that do not change once the original has run. */
class SearchPlan {
  /** Rows of each sequence's output: tokens of a language model. */
  public rows: readonly number[] = [];
  public readonly candidates: readonly Candidate[];
  private readonly isEligible: ReturnType<typeof eligibility>;
  /** Whether a candidate can still be taken out: it is there, and a mixture keeps an expert. */
  private readonly isRemaining: (candidate: Candidate, removed: ReadonlySet<number>) => boolean;
  public readonly isMet: ReturnType<typeof checkBudget>['isMet'];

  public constructor(
    public readonly settings: SearchSettings,
    public readonly setup: ScorerSetup,
  ) {
    const model = setup.executor.model.summary;
    const { units } = setup.executor;
    this.candidates = listCandidates(model, settings.granularity);
    if (this.candidates.length === 0) {
      throw nothingToRemove(model, settings.granularity);
    }
    this.isEligible = eligibility(model, settings);
    this.isMet = checkBudget(settings.budget, model, settings.granularity).isMet;
    this.isRemaining = ({ members }, removed) =>
      !members.some((unit) => removed.has(unit)) &&
      units.emptied(new Set([...removed, ...members])) === undefined;
    if (!this.candidates.some((candidate) => this.mayGo(candidate, new Set()))) {
      throw new UserError('Nothing may be removed: every candidate is protected or excluded.', {
        field: 'protect',
        remedy: 'Protect fewer sublayers, or lower exclude.',
      });
    }
  }

  public input(
    scorer: Scorer,
    step: string,
    candidates: readonly Candidate[],
    expected: ReadonlyMap<string, number>,
    onDistance: (distance: CandidateDistance) => void,
  ): RoundInput {
    return {
      scorer,
      metric: this.setup.metric,
      step,
      candidates,
      isEligible: (candidate) => this.mayGo(candidate, scorer.removed),
      rows: this.rows,
      expected,
      onDistance,
    };
  }

  /** Candidates that are still there. */
  public remaining(removed: ReadonlySet<number>): readonly Candidate[] {
    return this.candidates.filter((candidate) => this.isRemaining(candidate, removed));
  }

  public mayGo(candidate: Candidate, removed: ReadonlySet<number>): boolean {
    return this.isRemaining(candidate, removed) && this.isEligible(candidate, removed);
  }

  /** Sublayer evaluations of the naive search over the same rounds, the original run included. */
  public naiveEvaluations(rounds: readonly Round[]): number {
    const { units, model } = this.setup.executor;
    const count = model.summary.sublayers.length;
    const removed = new Set<number>();
    let evaluations = count;
    for (const { removed: id } of rounds) {
      for (const candidate of this.remaining(removed)) {
        const gone = [...removed, ...candidate.members].filter((unit) => !units.isExpert(unit));
        evaluations += count - gone.length;
      }
      for (const index of this.candidates.find((one) => one.id === id)?.members ?? []) {
        removed.add(index);
      }
    }
    return evaluations * this.setup.sequences.length;
  }
}

function nothingToRemove({ path, warnings }: ModelSummary, granularity: Granularity): UserError {
  const reasons =
    granularity === 'expert' ? warnings.filter((one) => one.startsWith('Single experts')) : [];
  return new UserError(
    ['The model has nothing that could be removed at this granularity.', ...reasons].join(' '),
    {
      file: path,
      field: `granularity ${granularity}`,
      remedy: 'Choose another granularity, such as sublayer.',
    },
  );
}

function isGreedy(mode: SearchMode): mode is 'exact' | 'lazy' | 'naive' {
  return mode in strategies;
}

async function greedy(
  plan: SearchPlan,
  mode: 'exact' | 'lazy' | 'naive',
  scorer: Scorer,
  listener: SearchListener,
): Promise<{ candidates: readonly CandidateDistance[]; rounds: readonly Round[] }> {
  const rounds: Round[] = [];
  const expected = new Map<string, number>();
  let first: readonly CandidateDistance[] = [];
  while (!plan.isMet(scorer.removed, rounds.length)) {
    const round = rounds.length + 1;
    const left = plan.remaining(scorer.removed);
    if (!left.some((candidate) => plan.mayGo(candidate, scorer.removed))) {
      break;
    }
    listener.onStage(`Round ${round}`);
    // The first round is the heatmap, so every distance is wanted in full.
    const inFull = round === 1 || plan.settings.everyDistance;
    const strategy = inFull ? everyDistance : strategies[mode];
    const result = await strategy(
      plan.input(scorer, `round.${round}`, left, expected, (distance) => {
        listener.onCandidate(round, distance);
      }),
    );
    if (result.winner === undefined) {
      break;
    }
    const { candidate, distance } = result.winner;
    first = round === 1 ? result.distances : first;
    for (const [id, total] of result.totals) {
      expected.set(id, Math.max(total, expected.get(id) ?? 0));
    }
    scorer.commit(
      candidate,
      left.filter((other) => other !== candidate),
    );
    const found = { removed: candidate.id, distance, candidates: result.distances };
    rounds.push(found);
    listener.onRound(round, found);
  }
  return { candidates: first, rounds };
}

/** A baseline as the search itself: the order is fixed, only its distances are measured. */
async function ranked(
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
    listener.onStage('Round 1');
    const input = plan.input(scorer, 'round.1', plan.candidates, new Map(), (distance) => {
      listener.onCandidate(1, distance);
    });
    ({ distances } = await everyDistance(input));
  }
  const order = orderers[name](plan.candidates, distances, plan.settings.seed) ?? [];
  listener.onStage(`Order: ${name}`);
  const rounds = await followOrder(plan, order, 'order', scorer, undefined, (round, result) => {
    listener.onRound(round, result);
  });
  return { candidates: distances, rounds };
}

async function measureOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  step: string,
  original: OriginalStates,
  rounds: number,
): Promise<readonly Round[]> {
  const scorer = new TrajectoryScorer(plan.setup);
  scorer.startFrom(original);
  return followOrder(plan, order, step, scorer, rounds, () => undefined);
}

/** Removes in the given order, passing over what may not go yet, and measures every prefix. */
async function followOrder(
  plan: SearchPlan,
  order: readonly Candidate[],
  step: string,
  scorer: Scorer,
  maxRounds: number | undefined,
  onRound: (round: number, result: Round) => void,
): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  const isDone = (): boolean =>
    maxRounds === undefined
      ? plan.isMet(scorer.removed, rounds.length)
      : rounds.length === maxRounds;
  while (!isDone()) {
    const next = order.find((candidate) => plan.mayGo(candidate, scorer.removed));
    if (next === undefined) {
      break;
    }
    const input = plan.input(
      scorer,
      `${step}.${rounds.length + 1}`,
      [next],
      new Map(),
      () => undefined,
    );
    const { winner } = await everyDistance(input);
    scorer.commit(next, []);
    const result = { removed: next.id, distance: winner?.distance ?? Number.NaN };
    rounds.push(result);
    onRound(rounds.length, result);
  }
  return rounds;
}
