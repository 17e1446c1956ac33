import { Child, WorkerLostError } from './child-task';
import type { ChildOptions } from './child-task';

/** Keeps one idle child process for the next task, since starting one can take longer than the task. */
export class SpareChild {
  private waiting: { readonly child: Child; readonly options: ChildOptions } | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** @param idleMilliseconds time after which an idle child is ended; it also ends with this process */
  public constructor(private readonly idleMilliseconds: number) {}

  /**
   * Runs one task in the idle child if it was started with the same options, otherwise in a new child. If the idle
   * child was lost before the task began, the task is retried in a new one.
   * @throws the error of the task
   */
  public async use<T>(options: ChildOptions, task: (child: Child) => Promise<T>): Promise<T> {
    const waiting = this.take(options);
    if (waiting !== undefined) {
      try {
        return await this.useAndKeep(waiting, options, task);
      } catch (error) {
        if (!(error instanceof WorkerLostError) || waiting.hasBegun) {
          throw error;
        }
      }
    }
    return this.useAndKeep(new Child(options), options, task);
  }

  private async useAndKeep<T>(
    child: Child,
    options: ChildOptions,
    task: (child: Child) => Promise<T>,
  ): Promise<T> {
    child.unref();
    try {
      return await task(child);
    } finally {
      if (!child.isGone) {
        this.stopWaiting();
        this.waiting = { child, options };
        this.timer = setTimeout(() => {
          this.stopWaiting();
        }, this.idleMilliseconds).unref();
      }
    }
  }

  private take({ script, heapMegabytes }: ChildOptions): Child | undefined {
    const { child, options } = this.waiting ?? {};
    const isFit =
      child?.isGone === false &&
      options?.script === script &&
      options.heapMegabytes === heapMegabytes;
    if (!isFit) {
      this.stopWaiting();
      return undefined;
    }
    clearTimeout(this.timer);
    this.waiting = undefined;
    return child;
  }

  private stopWaiting(): void {
    clearTimeout(this.timer);
    this.waiting?.child.end();
    this.waiting = undefined;
  }
}
