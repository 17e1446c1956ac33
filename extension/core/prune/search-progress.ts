import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { stateBytesPerToken } from '../runtime/memory-shares';
import { countFitting, streamedActiveShare } from '../runtime/states/batches';
import type { ModelSummary } from '../models/model-summary';
import { vocabularyShare } from '../metrics/logits-readout';
import type { CalibrationSummary } from '../data/calibration';
import { confirmedRows } from './adaptive/adaptive';
import { listCandidates } from './candidates';
import type { CandidateDistance, ProfileEvent, Round } from './layer-profile';
import type { BaselineName, SearchSettings } from './options';
import { minBaselineRows } from './search-plan';
import type { SearchWork } from './search-work';
import { say } from '../message';
import type { Message } from '../message';

/** Minimum interval of reports, in milliseconds. */
const interval = 100;
/**
 * Cost of the first and of later rounds, relative to a round that runs every candidate from its own position. Measured
 * on SmolLM2-135M, Gemma 3 270M and Qwen2.5-Coder-1.5B; used only for the initial estimate.
 */
function roundShares(
  { mode, confidence }: Pick<SearchSettings, 'mode' | 'confidence'>,
  candidates: number,
): readonly [first: number, later: number] {
  if (mode === 'adaptive' && confidence < 1) {
    // All tokens of a later round correspond to 0.6 to 5 fully measured candidates.
    return [0.2, Math.min(1, 2.5 / Math.max(1, candidates))];
  }
  return mode === 'naive' ? [2, 2] : [1, 0.3];
}

/**
 * Passes through the sublayers in the first and in later rounds of an adaptive search whose sessions don't all fit in memory.
 * Counted on Qwen2.5-Coder-0.5B: 12 and 3 to 10.
 */
const [firstPasses, laterPasses] = [12, 5] as const;
/** The same of other searches: each sequence that a round needs. */
const passesPerRound = 2;

/**
 * Tokens through the int8 copy relative to those expected of a search. Counted on Qwen2.5-Coder-0.5B with sessions that are opened for
 * each pass, where main trajectories are computed again.
 */
const beyondExpected = 1.25;

/** Approximate share of the tokens on which a set of a refinement is measured. */
const refineShare = 0.25;

/** Called as results become known. Rounds count from 1. */
export interface SearchListener {
  onCosineLocal(distances: readonly CandidateDistance[]): void;
  onCandidate(round: number, distance: CandidateDistance): void;
  onRound(round: number, result: Round): void;
  /** Called after `measured` of at most `most` sets of a refinement. */
  onRefining(measured: number, most: number): void;
  onBaseline(name: BaselineName, rounds: readonly Round[]): void;
  /** Called before each round with its description. */
  onStage(stage: Message): void;
}

/** Converts events of a search to progress and partial results, with an estimate of the total. */
export class SearchProgress implements SearchListener {
  private stage = say`Original`;
  /** True until the original has run: its steps also open sessions, so their rate isn't that of the search. */
  private isWarmingUp = true;
  private reported = 0;
  private roundStart = 0;
  private total: number;
  /** Largest reported share of the whole, so that progress never moves backwards. */
  private share = 0;
  /** Upper bound of the reported share until the round ends. */
  private mostShare: number;
  /** Costs of the rounds after the first. */
  private readonly later: number[] = [];
  /** Expected computations for each sequence. */
  private readonly expected: ExpectedWork;
  /** Expected cost of the refinement, until it starts. */
  private refining: number;
  /** Expected cost of the baselines that are not yet measured. */
  private comparing: number;
  /** Share of the search in all expected work. */
  private readonly searchShare: number;

  public constructor(
    settings: SearchSettings,
    { summary }: LayeredModel,
    private readonly work: SearchWork,
    { sequences, tokens }: Pick<CalibrationSummary, 'sequences' | 'tokens'>,
    private readonly context: JobContext<ProfileEvent>,
    known: { readonly isSearched?: boolean } = {},
  ) {
    this.expected = expectedWork(settings, summary, tokens, known);
    const amountCost = ({ evaluations, readouts }: Amount) =>
      (evaluations + work.readoutCost(readouts, 'whole')) * sequences;
    this.refining = amountCost(this.expected.refinement);
    this.comparing = amountCost(this.expected.baselines);
    const search = amountCost(this.expected.search);
    this.total = search + this.refining + this.comparing;
    this.searchShare = this.total === 0 ? 1 : search / this.total;
    this.mostShare = this.shareAfter(1);
  }

  /** Expected share of the whole after a round. */
  private shareAfter(round: number): number {
    const { first, rounds } = this.expected;
    const candidateEvaluations = rounds === 1 ? 0 : ((1 - first) * (round - 1)) / (rounds - 1);
    return Math.min(1, first + candidateEvaluations) * this.searchShare;
  }

  public report(force = false): void {
    const now = performance.now();
    if (force || now - this.reported >= interval) {
      this.reported = now;
      const done = this.work.cost;
      this.total = Math.max(this.total, done);
      if (done > 0) {
        this.share = Math.max(this.share, Math.min(this.mostShare, done / this.total));
      }
      this.context.progress({
        stage: this.stage,
        done: Math.round(done),
        total: Math.round(done === 0 ? this.total : done / this.share),
        unit: 'steps',
        isWarmingUp: this.isWarmingUp,
      });
    }
  }

  public onStage(stage: Message): void {
    this.isWarmingUp = stage.code === 'Original';
    this.stage = stage.code.startsWith('Round') ? say`${stage} of ${this.expected.rounds}` : stage;
    this.roundStart = this.work.cost;
    this.report(true);
  }

  public onCosineLocal(distances: readonly CandidateDistance[]): void {
    this.context.emit({ kind: 'cosine-local', distances });
  }

  public onCandidate(round: number, distance: CandidateDistance): void {
    this.context.emit({ kind: 'candidate', round, distance });
  }

  public onRound(round: number, result: Round): void {
    this.context.emit({ kind: 'round', round, result });
    const done = this.work.cost;
    if (round > 1) {
      this.later.push(done - this.roundStart);
      const mean = this.later.reduce((sum, cost) => sum + cost, 0) / this.later.length;
      const rounds = (this.expected.rounds - round) * mean;
      this.total = done + rounds + this.refining + this.comparing;
    }
    this.mostShare = round >= this.expected.rounds ? 1 : this.shareAfter(round + 1);
    this.roundStart = done;
  }

  public onRefining(measured: number, most: number): void {
    const done = this.work.cost;
    this.mostShare = 1;
    if (measured === 0) {
      this.roundStart = done;
      this.total = done + this.refining + this.comparing;
      this.refining = 0;
    } else {
      const left = Math.max(0, Math.min(most, this.expected.sets) - measured);
      this.total = done + (left * (done - this.roundStart)) / measured + this.comparing;
    }
    this.stage = say`Refining: ${measured} of at most ${most} sets`;
    this.report(true);
  }

  public onBaseline(name: BaselineName, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'baseline', name, rounds });
  }
}

/** Number of sublayer evaluations per sequence, and of readouts of its output over the whole vocabulary. */
export interface Amount {
  readonly evaluations: number;
  readonly readouts: number;
  /** Returns the number of passes through the sublayers of all sequences together. */
  readonly passes: (executor: LayeredExecutor) => number;
}

/** Number of tokens whose states a pass takes through the sublayers if sessions are opened for each. */
const tokensPerPass = ({ shares, model }: LayeredExecutor): number =>
  countFitting(shares, streamedActiveShare, stateBytesPerToken(model));

interface ExpectedWork {
  readonly rounds: number;
  /** The original and the first round of the search. */
  readonly first: number;
  readonly search: Amount;
  /** Runs of the int8 copy of the model, if candidates are compared on one. */
  readonly screening: Amount;
  /** Runs of the model itself then: the original and each winner. */
  readonly confirmation: Amount;
  readonly refinement: Amount;
  readonly baselines: Amount;
  /** Number of sets that a refinement measures. */
  readonly sets: number;
}

/**
 * Expected computations of a search for each sequence.
 * @param tokens total tokens of all sequences
 * @param known true if the search itself is done, so that only the original runs before the refinement and baselines
 */
export function expectedWork(
  settings: SearchSettings,
  summary: ModelSummary,
  tokens: number,
  known: { readonly isSearched?: boolean } = {},
): ExpectedWork {
  const candidates = listCandidates(summary, settings.granularity);
  const count = summary.sublayers.length;
  const rounds = expectedRounds(settings, candidates.length);
  const isAdaptive = settings.mode === 'adaptive' && settings.confidence < 1;
  const [first, later] = roundShares(settings, candidates.length);
  const times = first + (rounds - 1) * later;
  // The original run, then every candidate from its own position to the end.
  const candidateEvaluations = candidates.reduce(
    (sum, candidate) => sum + count - candidate.first,
    0,
  );
  // An adaptive search reads out the original and each winner over the whole vocabulary, and others in part.
  const share = isAdaptive ? vocabularyShare('sampled', summary.vocabularySize) : 1;
  const sets = expectedSets(settings, rounds, candidates.length);
  const refined = sets * refineShare;
  const baselines = settings.baselines.filter((name) => name !== settings.mode).length;
  const compared = baselines * (isAdaptive ? Math.min(1, minBaselineRows / tokens) : 1);
  const confirmed = Math.min(1, confirmedRows / tokens);
  const leastPasses = isAdaptive
    ? 1 + firstPasses + (rounds - 1) * laterPasses
    : 1 + rounds * passesPerRound;
  const passes = (executor: LayeredExecutor): number =>
    Math.max(leastPasses, (candidates.length * times * tokens) / tokensPerPass(executor));
  const evaluations = count + candidateEvaluations * times;
  const partialReadouts = candidates.length * times * share;
  return {
    rounds,
    first: known.isSearched === true ? 1 : (count + candidateEvaluations * first) / evaluations,
    search:
      known.isSearched === true
        ? { evaluations: count, readouts: 1, passes: () => 1 }
        : { evaluations, readouts: partialReadouts + (isAdaptive ? 1 + rounds : 0), passes },
    screening: { evaluations: evaluations * beyondExpected, readouts: partialReadouts, passes },
    confirmation: {
      evaluations: confirmed * count * (1 + rounds),
      readouts: 1 + confirmed * (1 + rounds),
      passes: (executor) =>
        (1 + rounds) * Math.ceil((confirmed * tokens) / tokensPerPass(executor)),
    },
    refinement: { evaluations: refined * count, readouts: refined, passes: () => sets },
    // Prefixes of an order are measured one by one, each from its first removal, after the original.
    baselines: {
      evaluations: compared * count,
      readouts: compared * rounds,
      passes: () => (baselines === 0 ? 0 : 1 + baselines * rounds),
    },
    sets,
  };
}

/** Swaps end after about two passes over all pairs. */
function expectedSets({ refine }: SearchSettings, rounds: number, candidates: number): number {
  const { method, sets = 0 } = refine ?? {};
  return method === 'swaps' ? Math.min(sets, 2 * rounds * (candidates - rounds)) : sets;
}

function expectedRounds({ budget }: SearchSettings, candidates: number): number {
  switch (budget.kind) {
    case 'all':
      return candidates;
    case 'count':
      return Math.min(budget.count, candidates);
    default:
      return Math.min(candidates, Math.ceil(budget.ratio * candidates));
  }
}
