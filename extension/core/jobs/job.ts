import type { Message } from '../message';

/** Thrown out of a job whose cancellation was requested. */
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

/** How far a job has come. `done` and `total` share one unit, named by `unit`. */
export interface StageProgress {
  /** What is being done, as a short phrase without a full stop. */
  readonly stage: Message;
  readonly done: number;
  readonly total: number;
  readonly unit: 'sequences' | 'examples' | 'bytes' | 'steps' | 'programs';
  /** What is left by what is known of it: before any of it is done, or from the work counted lately. */
  readonly secondsLeft?: number | undefined;
  /** Whether long stages follow whose time is not known yet: then no time is told. */
  readonly moreFollows?: boolean;
}

/** What one of those that share a job has done. */
export interface WorkerTally {
  readonly name: Message;
  /** Pieces of the work, and the seconds that they took. */
  readonly done: number;
  readonly seconds: number;
  /** Whether it has one in work. */
  readonly isBusy: boolean;
}

/** What a job gets besides its request. `Event` is the job's own kind of partial result. */
export interface JobContext<Event = never> {
  readonly cancellation: Cancellation;
  /** Called at least once a second while a job works. */
  progress(progress: StageProgress): void;
  /** Partial results, as soon as they are known. */
  emit(event: Event): void;
  /** Something the user should know though the job goes on (such as a fallback of device). */
  warn(message: Message): void;
  /** Something for the log, which nobody has to act on. */
  inform(message: Message): void;
  /** Who shares the work, told again when what they have done has changed. */
  share(workers: readonly WorkerTally[]): void;
}

/**
 * Lets pending messages (a cancellation among them) in, then throws if the job was cancelled.
 * ONNX Runtime blocks the thread while it runs, so jobs call this between runs.
 */
export async function checkpoint(cancellation: Cancellation): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
  if (cancellation.isCancellationRequested) {
    throw new CancelledError();
  }
}

/** Context of a job nobody watches or cancels. */
export const unattended: JobContext<unknown> = {
  cancellation: { isCancellationRequested: false },
  progress: () => undefined,
  emit: () => undefined,
  warn: () => undefined,
  inform: () => undefined,
  share: () => undefined,
};
