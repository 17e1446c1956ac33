import type { JobContext } from '../../jobs/job';
import type { Policy } from './selection';

/** What decides how much a comparison of subsets trains. */
export interface Comparison {
  /** Epochs to train before each score is taken. */
  readonly scores: readonly { readonly epoch: number }[];
  /** Runs over which scores are averaged. */
  readonly runs: number;
  /** Shares of the examples that are kept. */
  readonly keep: readonly number[];
  /** Besides random choice, which always stands beside. */
  readonly policies: readonly Exclude<Policy, 'random'>[];
  /** Shares that a window may drop; where there are several, validation data choose. */
  readonly offsets: readonly number[];
  /** Epochs of the whole data set. */
  readonly epochs: number;
  /** Trainings of each choice, with seeds that scoring has not used. */
  readonly seeds: number;
  /** Whether a part is trained for as many steps as the whole, or for as many epochs. */
  readonly iso: 'steps' | 'epochs';
}

/** What validation data say of the windows of a score. */
export interface OffsetSweep {
  readonly choice: string;
  readonly keep: number;
  readonly validated: readonly {
    readonly offset: number;
    readonly accuracies: readonly number[];
  }[];
  readonly chosen: number;
  readonly seconds: number;
}

/**
 * Steps of all trainings: to score, on the full data set, on its parts, and on windows to choose between.
 * @param epochSteps those of an epoch on a fraction of the examples
 */
export function comparisonSteps(
  { scores, runs, keep, policies, offsets, epochs, seeds, iso }: Comparison,
  epochSteps: (share: number) => number,
): number {
  const scoring = scores.reduce((sum, { epoch }) => sum + runs * epoch * epochSteps(1), 0);
  const parts = keep.reduce((sum, share) => {
    const windows = offsets.filter((offset) => offset + share <= 1).length;
    const ofPolicy = { max: 1, window: windows > 1 ? 1 + windows : 1 };
    const perScore = policies.reduce((total, policy) => total + ofPolicy[policy], 0);
    return sum + (1 + scores.length * perScore) * epochSteps(iso === 'steps' ? 1 : share);
  }, 0);
  return scoring + epochs * seeds * (epochSteps(1) + parts);
}

/** Tells the progress of parts that follow one another as that of the whole. */
export class PartsProgress {
  /** For the part that runs now. */
  public readonly job: JobContext<unknown>;
  #finished = 0;

  public constructor(job: JobContext<unknown>, total: number) {
    this.job = {
      ...job,
      progress: (progress) => {
        job.progress({
          ...progress,
          done: Math.min(total, this.#finished + progress.done),
          total,
        });
      },
    };
  }

  /** A part is over, which had so many steps. */
  public finish(steps: number): void {
    this.#finished += steps;
  }
}
