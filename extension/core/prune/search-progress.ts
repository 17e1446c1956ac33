import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { ModelSummary } from '../models/model-summary';
import { listCandidates } from './candidates';
import type { CandidateDistance, ProfileEvent, Round } from './layer-profile';
import type { BaselineName, SearchSettings } from './options';
import type { SearchListener } from './search-listener';
import type { SearchWork } from './search-work';

/** Reports at most this often, in milliseconds. */
const interval = 100;
/** What a later round costs of the first, as measured on the sample model; only for the first estimate. */
const laterRoundShare = 0.3;

/** Turns what a search says into progress and events, with an estimate of the whole. */
export class SearchProgress implements SearchListener {
  private stage = 'Original';
  private reported = 0;
  private roundStart = 0;
  private total: number;
  private readonly rounds: number;

  public constructor(
    settings: SearchSettings,
    { summary }: LayeredModel,
    private readonly work: SearchWork,
    sequences: number,
    private readonly context: JobContext<ProfileEvent>,
  ) {
    const { rounds, evaluations, readouts } = expectedWork(settings, summary);
    this.rounds = rounds;
    this.total = (evaluations + work.readoutCost(readouts)) * sequences;
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

  public onStage(stage: string): void {
    this.stage = stage.startsWith('Round') ? `${stage} of ${this.rounds}` : stage;
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
    if (round > 1) {
      const done = this.work.cost;
      this.total = done + (this.rounds - round) * (done - this.roundStart);
    }
  }

  public onPredicted(round: number, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'predicted', round, rounds });
  }

  public onBaseline(name: BaselineName, rounds: readonly Round[]): void {
    this.context.emit({ kind: 'baseline', name, rounds });
  }
}

/** What a search is expected to compute for each sequence: sublayers that run, and times that the output is read. */
export function expectedWork(
  settings: SearchSettings,
  summary: ModelSummary,
): { readonly rounds: number; readonly evaluations: number; readonly readouts: number } {
  const candidates = listCandidates(summary, settings.granularity);
  const count = summary.sublayers.length;
  const rounds = expectedRounds(settings, candidates.length);
  const [first, later] = settings.mode === 'naive' ? [2, 2] : [1, laterRoundShare];
  const times = first + (rounds - 1) * later;
  // The original run, then every candidate from its own position to the end.
  const behind = candidates.reduce((sum, candidate) => sum + count - candidate.first, 0);
  return { rounds, evaluations: count + behind * times, readouts: candidates.length * times };
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
