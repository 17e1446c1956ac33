import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { ModelSummary } from '../models/model-summary';
import { vocabularyShare } from '../metrics/logits-readout';
import type { CalibrationSummary } from '../data/calibration';
import { listCandidates } from './candidates';
import type { CandidateDistance, ProfileEvent, Round } from './layer-profile';
import type { BaselineName, SearchSettings } from './options';
import type { SearchListener } from './search-listener';
import { leastBaselineRows } from './search-plan';
import type { SearchWork } from './search-work';
import { say } from '../message';
import type { Message } from '../message';

/** Reports at most this often, in milliseconds. */
const interval = 100;
/**
 * What rounds cost of one that runs every candidate from its own position on: the first, and later ones. As
 * measured on SmolLM2-135M, Gemma 3 270M and Qwen2.5-Coder-1.5B; only for the first estimate.
 */
function roundShares(
  { mode, confidence }: Pick<SearchSettings, 'mode' | 'confidence'>,
  candidates: number,
): readonly [first: number, later: number] {
  if (mode === 'adaptive' && confidence < 1) {
    // All tokens of a later round would do for 0.6 to 5 candidates.
    return [0.2, Math.min(1, 2.5 / Math.max(1, candidates))];
  }
  return mode === 'naive' ? [2, 2] : [1, 0.3];
}

/** Share of the tokens that a set of a refinement is measured on, roughly. */
const refineShare = 0.25;

/** Turns what a search says into progress and events, with an estimate of the whole. */
export class SearchProgress implements SearchListener {
  private stage = say`Original`;
  private reported = 0;
  private roundStart = 0;
  private total: number;
  /** The largest part of the whole that was told: it never gets smaller, however long the next round turns out to be. */
  private share = 0;
  /** No more is told before the round is over, even if it takes longer than all was expected to. */
  private mostShare: number;
  /** What rounds behind the first have cost. */
  private readonly later: number[] = [];
  /** What is expected to be computed of each sequence. */
  private readonly expected: ExpectedWork;
  /** What a refinement is expected to cost that has not begun. */
  private refining: number;
  /** What baselines are expected to cost that have not been measured. */
  private comparing: number;
  /** The search, of all that is expected to be computed. */
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
    const costOf = ({ evaluations, readouts }: Amount) =>
      (evaluations + work.readoutCost(readouts, 'whole')) * sequences;
    this.refining = costOf(this.expected.refinement);
    this.comparing = costOf(this.expected.baselines);
    const search = costOf(this.expected.search);
    this.total = search + this.refining + this.comparing;
    this.searchShare = this.total === 0 ? 1 : search / this.total;
    this.mostShare = this.shareAfter(1);
  }

  /** What part of the whole is expected to be done after a round. */
  private shareAfter(round: number): number {
    const { first, rounds } = this.expected;
    const behind = rounds === 1 ? 0 : ((1 - first) * (round - 1)) / (rounds - 1);
    return Math.min(1, first + behind) * this.searchShare;
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
      });
    }
  }

  public onStage(stage: Message): void {
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

  public onPredicted(round: number, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'predicted', round, rounds });
  }

  public onBaseline(name: BaselineName, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'baseline', name, rounds });
  }
}

/** Sublayers that run over a sequence, and times that its output is read, over the whole vocabulary. */
interface Amount {
  readonly evaluations: number;
  readonly readouts: number;
}

interface ExpectedWork {
  readonly rounds: number;
  /** The original and the first round, of the search. */
  readonly first: number;
  readonly search: Amount;
  readonly refinement: Amount;
  readonly baselines: Amount;
  /** Sets that a refinement measures. */
  readonly sets: number;
}

/**
 * What a search is expected to compute for each sequence.
 * @param tokens of all sequences
 * @param known whether the search itself is done, so that only the original runs before what follows it
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
  const behind = candidates.reduce((sum, candidate) => sum + count - candidate.first, 0);
  // An adaptive search reads the original and each winner whole, and the others in part.
  const share = isAdaptive ? vocabularyShare('sampled', summary.vocabularySize) : 1;
  const sets = expectedSets(settings, rounds, candidates.length);
  const refined = sets * refineShare;
  const baselines = settings.baselines.filter((name) => name !== settings.mode).length;
  const compared = baselines * (isAdaptive ? Math.min(1, leastBaselineRows / tokens) : 1);
  return {
    rounds,
    first: known.isSearched === true ? 1 : (count + behind * first) / (count + behind * times),
    search:
      known.isSearched === true
        ? { evaluations: count, readouts: 1 }
        : {
            evaluations: count + behind * times,
            readouts: candidates.length * times * share + (isAdaptive ? 1 + rounds : 0),
          },
    refinement: { evaluations: refined * count, readouts: refined },
    // An order is measured set by set, each from what it removes first.
    baselines: { evaluations: compared * count, readouts: compared * rounds },
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
