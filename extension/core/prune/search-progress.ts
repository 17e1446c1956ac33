import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { ModelSummary } from '../models/model-summary';
import { sampledShare } from '../metrics/logits-readout';
import { listCandidates } from './candidates';
import type { CandidateDistance, ProfileEvent, Round } from './layer-profile';
import type { BaselineName, SearchSettings } from './options';
import type { SearchListener } from './search-listener';
import type { SearchWork } from './search-work';
import { say } from '../message';
import type { Message } from '../message';

/** Reports at most this often, in milliseconds. */
const interval = 100;
/**
 * What rounds cost of one that runs every candidate from its own position on: the first, and later ones. As
 * measured on the sample and on SmolLM2-135M; only for the first estimate.
 */
const roundShares = { naive: [2, 2], adaptive: [0.3, 0.1], other: [1, 0.3] } as const;

/** Share of the tokens that a set of a refinement is measured on, roughly. */
const refineShare = 0.25;

/** Turns what a search says into progress and events, with an estimate of the whole. */
export class SearchProgress implements SearchListener {
  private stage = say`Original`;
  private reported = 0;
  private roundStart = 0;
  private total: number;
  /** What a refinement is expected to cost that has not begun. */
  private refining: number;
  /** Sets that it is expected to measure. */
  private readonly sets: number;
  private readonly rounds: number;

  public constructor(
    settings: SearchSettings,
    { summary }: LayeredModel,
    private readonly work: SearchWork,
    sequences: number,
    private readonly context: JobContext<ProfileEvent>,
  ) {
    const { rounds, evaluations, readouts, sets } = expectedWork(settings, summary);
    this.rounds = rounds;
    this.sets = sets;
    const perSet = summary.sublayers.length + work.readoutCost(1, 'whole');
    this.refining = sets * refineShare * perSet * sequences;
    this.total = (evaluations + work.readoutCost(readouts, 'whole')) * sequences;
  }

  public report(force = false): void {
    const now = performance.now();
    if (force || now - this.reported >= interval) {
      this.reported = now;
      const done = this.work.cost;
      this.total = Math.max(this.total, done);
      this.context.progress({
        stage: this.stage,
        done: Math.round(done),
        total: Math.round(this.total),
        unit: 'steps',
      });
    }
  }

  public onStage(stage: Message): void {
    this.stage = stage.code.startsWith('Round') ? say`${stage} of ${this.rounds}` : stage;
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
      this.total = done + (this.rounds - round) * (done - this.roundStart) + this.refining;
    }
    this.roundStart = done;
  }

  public onRefining(measured: number, most: number): void {
    const done = this.work.cost;
    if (measured === 0) {
      this.roundStart = done;
      this.total = done + this.refining;
      this.refining = 0;
    } else {
      const left = Math.max(0, Math.min(most, this.sets) - measured);
      this.total = done + (left * (done - this.roundStart)) / measured;
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

/**
 * What a search is expected to compute for each sequence: sublayers that run, and times that the output is
 * read, over the whole vocabulary.
 */
export function expectedWork(
  settings: SearchSettings,
  summary: ModelSummary,
): {
  readonly rounds: number;
  readonly evaluations: number;
  readonly readouts: number;
  /** Sets that a refinement measures, which the others count. */
  readonly sets: number;
} {
  const candidates = listCandidates(summary, settings.granularity);
  const count = summary.sublayers.length;
  const rounds = expectedRounds(settings, candidates.length);
  const isAdaptive = settings.mode === 'adaptive' && settings.confidence < 1;
  const [first, later] =
    roundShares[isAdaptive ? 'adaptive' : settings.mode === 'naive' ? 'naive' : 'other'];
  const times = first + (rounds - 1) * later;
  // The original run, then every candidate from its own position to the end.
  const behind = candidates.reduce((sum, candidate) => sum + count - candidate.first, 0);
  // An adaptive search reads the original and each winner whole, and the others in part.
  const share = isAdaptive ? sampledShare(summary.vocabularySize) : 1;
  const readouts = candidates.length * times * share + (isAdaptive ? 1 + rounds : 0);
  const sets = expectedSets(settings, rounds, candidates.length);
  const refined = sets * refineShare;
  return {
    rounds,
    evaluations: count + behind * times + refined * count,
    readouts: readouts + refined,
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
