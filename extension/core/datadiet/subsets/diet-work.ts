import type { JobContext } from '../../jobs/job';
import type { Policy } from './selection';

/** Settings that determine the amount of training in a comparison of subsets. */
export interface Comparison {
  /** Number of epochs trained before each score is computed. */
  readonly scores: readonly { readonly epoch: number }[];
  /** Number of runs over which scores are averaged. */
  readonly runs: number;
  /** Shares of examples that are selected. */
  readonly keep: readonly number[];
  /** Policies to compare with random selection, which is always included. */
  readonly policies: readonly Exclude<Policy, 'random'>[];
  /** Shares that a window may skip. If there are several, validation data select one. */
  readonly offsets: readonly number[];
  /** Number of epochs on the full dataset. */
  readonly epochs: number;
  /** Number of trainings per selection, with seeds that scoring has not used. */
  readonly seeds: number;
  /** Trains subsets for as many steps, or for as many epochs, as the full dataset. */
  readonly iso: 'steps' | 'epochs';
}

/** Validation results of a score's windows. */
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
 * Total number of training steps: for scores, on the full dataset, on subsets, and for selecting windows.
 * @param epochSteps steps per epoch on a share of the examples
 */
export function comparisonSteps(
  { scores, runs, keep, policies, offsets, epochs, seeds, iso }: Comparison,
  epochSteps: (share: number) => number,
): number {
  const scoring = scores.reduce((sum, { epoch }) => sum + runs * epoch * epochSteps(1), 0);
  const parts = keep.reduce((sum, share) => {
    const windows = offsets.filter((offset) => offset + share <= 1).length;
    const runsPerPolicy = { max: 1, window: windows > 1 ? 1 + windows : 1 };
    const perScore = policies.reduce((total, policy) => total + runsPerPolicy[policy], 0);
    return sum + (1 + scores.length * perScore) * epochSteps(iso === 'steps' ? 1 : share);
  }, 0);
  return scoring + epochs * seeds * (epochSteps(1) + parts);
}

/** Combines the progress of consecutive parts. */
export class PartsProgress {
  /** Context for the current part. */
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

  /** Marks a part as finished, with its number of steps. */
  public finish(steps: number): void {
    this.#finished += steps;
  }
}
