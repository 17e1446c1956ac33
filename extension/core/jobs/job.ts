import type { Message } from '../message';

/** Thrown by a job when its cancellation is requested. */
export class CancelledError extends Error {
  public override readonly name = 'CancelledError';

  public constructor() {
    super('Canceled.');
  }
}

/** The part of a cancellation token that a job reads; vscode-jsonrpc's and VS Code's tokens fit. */
export interface Cancellation {
  readonly isCancellationRequested: boolean;
}

/** Progress of a job. `done` and `total` share the unit named by `unit`. */
export interface StageProgress {
  /** Current step, as a short phrase without a full stop. */
  readonly stage: Message;
  readonly done: number;
  readonly total: number;
  readonly unit: 'sequences' | 'examples' | 'bytes' | 'steps' | 'programs';
  /** Estimated time left, either from known costs or from the recent rate of progress. */
  readonly secondsLeft?: number | undefined;
  /** True if long stages of unknown duration follow, so that no estimate is shown. */
  readonly moreFollows?: boolean;
  /** True while steps also open sessions, so that their rate isn't that of later steps. */
  readonly isWarmingUp?: boolean;
}

/** Work items that one worker of a job has completed. */
export interface WorkerProgress {
  readonly name: Message;
  /** Completed work items, and the seconds they took. */
  readonly done: number;
  readonly seconds: number;
  /** True while the worker has a work item. */
  readonly isBusy: boolean;
}

/** Environment of a job: cancellation and reporting. `Event` is the job's type of partial result. */
export interface JobContext<Event = never> {
  readonly cancellation: Cancellation;
  /** Called at least once a second while a job works. */
  progress(progress: StageProgress): void;
  /** Reports a partial result as soon as it is known. */
  emit(event: Event): void;
  /** Reports something the user should know although the job continues, such as a fallback to another device. */
  warn(message: Message): void;
  /** Writes to the log. No action is needed. */
  inform(message: Message): void;
  /** Reports the workers that share the job, again after each change. */
  share(workers: readonly WorkerProgress[]): void;
}

/**
 * Handles pending messages, such as a cancellation, then throws if the job was canceled. ONNX Runtime blocks the thread
 * while it runs, so jobs call this between runs.
 */
export async function checkpoint(cancellation: Cancellation): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
  if (cancellation.isCancellationRequested) {
    throw new CancelledError();
  }
}

/** Context of a job that nobody watches or cancels. */
export const unattended: JobContext<unknown> = {
  cancellation: { isCancellationRequested: false },
  progress: () => undefined,
  emit: () => undefined,
  warn: () => undefined,
  inform: () => undefined,
  share: () => undefined,
};
