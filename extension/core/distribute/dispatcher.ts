import { CancelledError } from '../jobs/job';
import type { StageProgress, WorkerProgress } from '../jobs/job';
import { WorkerLostError } from '../jobs/child-task';
import type { TaskJob } from '../jobs/child-task';
import { median } from '../statistics';
import { UserError } from '../user-error';
import type { WorkerPool, WorkItem, JobWorker } from './work-item';
import { inEnglish, say, verbatim } from '../message';

/** Maximum number of attempts per work item. */
const maxTries = 3;
/** Maximum number of consecutive work items a worker may lose before it is retired. */
const maxLosses = 3;
/** Factor over the expected time after which a work item is also given to another worker. */
const stragglerFactor = 4;
/** Minimum time before a work item counts as a straggler, in milliseconds. */
const stragglerMilliseconds = 5000;
/** Time limit for the first work item, before any rate is known, in milliseconds. A worker may hang from the start. */
const unknownMilliseconds = 120_000;
/** Interval of checks for stragglers and cancellation, in milliseconds. */
const tickMilliseconds = 100;
/** Number of recent rates that the expected time is based on. */
const rememberedRates = 64;

interface Entry {
  readonly item: WorkItem;
  readonly progress: (progress: StageProgress) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** True if the work item was added ahead of need, so that all others have priority. */
  isAhead: boolean;
  isDone: boolean;
  /** Start time by worker. */
  readonly running: Map<JobWorker, number>;
  readonly failures: { readonly worker: JobWorker; readonly text: string }[];
}

interface WorkerState {
  /** True if the worker gets no more work items. */
  isRetired: boolean;
  current: Entry | undefined;
  losses: number;
  /** Completed work items, and the seconds they took. */
  done: number;
  seconds: number;
}

/** Listener for events of a dispatcher. */
export interface DispatchListener {
  /** Called when a worker is lost, or a work item has failed and is retried. */
  readonly lost: (worker: JobWorker, why: string) => void;
  /** Called at most once per tick. */
  readonly changed: (workers: readonly WorkerProgress[]) => void;
}

/** Work item that was added to a dispatcher. */
export interface Pending<Result> {
  readonly result: Promise<Result>;
  /** Raises the priority of an item that was added ahead of need. */
  readonly want: () => void;
  /** Cancels a work item that has not started. */
  readonly drop: () => void;
}

/**
 * Distributes work items to workers. Items of a lane stay with one worker as long as it has work. A failed item is
 * retried, by another worker if possible. A straggler is also given to a second worker; the first result counts.
 */
export class Dispatcher implements WorkerPool {
  private readonly workers = new Map<JobWorker, WorkerState>();
  private readonly owners = new Map<number, JobWorker>();
  private waiting: Entry[] = [];
  private readonly running = new Set<Entry>();
  /** Milliseconds per cost of completed work items. */
  private rates: number[] = [];
  private isEnded = false;
  /** True if the listener has to be called. */
  private hasChanged = false;
  private readonly timer: NodeJS.Timeout;
  /** Current work item of this process; {@link Dispatcher.end} waits for it. */
  private atHome: Promise<void> = Promise.resolve();

  /** @param home worker that runs work items in this process */
  public constructor(
    private readonly home: JobWorker,
    private readonly job: Pick<TaskJob, 'cancellation'>,
    private readonly watch: DispatchListener,
  ) {
    this.join(home);
    this.timer = setInterval(() => {
      if (job.cancellation.isCancellationRequested) {
        this.cancel();
      }
      this.assignAll();
      this.notify();
    }, tickMilliseconds);
  }

  /** Number of workers. */
  public get size(): number {
    return this.workers.size;
  }

  public join(worker: JobWorker): void {
    this.workers.set(worker, {
      ...{ current: undefined, losses: 0, isRetired: false },
      ...{ done: 0, seconds: 0 },
    });
    this.hasChanged = true;
    this.assignAll();
  }

  /** Lets a worker finish its current work item and gives it no more. */
  public retire(worker: JobWorker): void {
    const state = this.workers.get(worker);
    if (state !== undefined) {
      state.isRetired = true;
    }
  }

  /** Removes a lost worker. Others repeat its current work item. */
  public leave(worker: JobWorker, why: string): void {
    const current = this.workers.get(worker)?.current;
    this.workers.delete(worker);
    this.hasChanged = true;
    for (const [lane, owner] of this.owners) {
      if (owner === worker) {
        this.owners.delete(lane);
      }
    }
    if (current !== undefined) {
      this.lose(current, worker, why);
    }
    this.assignAll();
  }

  /** Adds a work item, which resolves to its first result. */
  public add<Result>(
    item: WorkItem<Result>,
    {
      isAhead = false,
      progress = () => undefined,
    }: Partial<Pick<Entry, 'isAhead' | 'progress'>> = {},
  ): Pending<Result> {
    let entry: Entry | undefined;
    const result = new Promise<Result>((resolve, reject) => {
      entry = {
        ...{ item, progress, reject, isAhead, isDone: false },
        // Workers have validated the result with the work item's schema.
        resolve: (found) => {
          resolve(found as Result);
        },
        ...{ running: new Map(), failures: [] },
      };
      this.waiting.push(entry);
    });
    // Callers that await the result see the error; an item added ahead of need may fail unobserved.
    result.catch(() => undefined);
    if (this.isEnded) {
      entry?.reject(new CancelledError());
    } else {
      // Deferred, so that all work items added together are known when the first one is chosen.
      queueMicrotask(() => {
        this.assignAll();
      });
    }
    return {
      result,
      want: () => {
        if (entry !== undefined) {
          entry.isAhead = false;
        }
      },
      drop: () => {
        this.waiting = this.waiting.filter((one) => one !== entry);
      },
    };
  }

  /** Cancels unfinished work items and waits for this process's current one. */
  public async end(): Promise<void> {
    this.cancel();
    clearInterval(this.timer);
    this.notify();
    await this.atHome;
  }

  private notify(): void {
    if (this.hasChanged) {
      this.hasChanged = false;
      const progress = [...this.workers].map(([{ name }, { done, seconds, current }]) => ({
        ...{ name, done, seconds, isBusy: current !== undefined },
      }));
      this.watch.changed(progress);
    }
  }

  private cancel(): void {
    this.isEnded = true;
    for (const entry of [...this.waiting, ...this.running]) {
      entry.isDone = true;
      entry.reject(new CancelledError());
    }
    this.waiting = [];
    this.running.clear();
  }

  /** Assigns the best work item to each idle worker. */
  private assignAll(): void {
    for (const [worker, state] of this.workers) {
      if (state.current === undefined && !state.isRetired && !this.isEnded) {
        const entry = this.choose(worker);
        if (entry !== undefined) {
          const giving = this.assign(entry, worker, state);
          if (worker === this.home) {
            this.atHome = giving;
          }
        }
      }
    }
  }

  private choose(worker: JobWorker): Entry | undefined {
    const open = this.waiting.filter((entry) => this.mayTake(worker, entry));
    const rank = ({ item, isAhead }: Entry): number => {
      const owner = this.owners.get(item.lane);
      const place = item.home === true ? 0 : owner === worker ? 1 : owner === undefined ? 2 : 3;
      return (isAhead ? 10 : 0) + place;
    };
    const best = open.reduce<Entry | undefined>(
      (first, entry) => (first === undefined || rank(entry) < rank(first) ? entry : first),
      undefined,
    );
    return best ?? this.straggler(worker);
  }

  private mayTake(worker: JobWorker, { item, failures }: Entry): boolean {
    if (item.home === true) {
      return worker === this.home;
    }
    const owner = this.owners.get(item.lane);
    const state = owner === undefined ? undefined : this.workers.get(owner);
    if (owner !== worker && state?.current === undefined && state?.isRetired === false) {
      return false;
    }
    const others = [...this.workers.keys()].filter((one) => one !== this.home);
    const hasFailed = (one: JobWorker): boolean =>
      failures.some((failure) => failure.worker === one);
    // A work item that may crash a process is not run in this one while there are other workers.
    return worker === this.home
      ? failures.length === 0 || others.length === 0
      : !hasFailed(worker) || others.every(hasFailed);
  }

  /** Work item of another worker that takes too long. */
  private straggler(worker: JobWorker): Entry | undefined {
    const rate = this.rates.length === 0 ? undefined : median(this.rates);
    const now = performance.now();
    return [...this.running].find(({ item, running, failures }) => {
      const [begun = now] = running.values();
      const patience =
        rate === undefined
          ? unknownMilliseconds
          : Math.max(stragglerMilliseconds, stragglerFactor * rate * item.cost);
      // A work item that has crashed a process is not run in this one, even if a new process is slow to start.
      const mayEndThis = worker === this.home && failures.length > 0;
      return (
        item.home !== true &&
        !mayEndThis &&
        running.size === 1 &&
        !running.has(worker) &&
        now - begun > patience
      );
    });
  }

  private async assign(entry: Entry, worker: JobWorker, state: WorkerState): Promise<void> {
    const { item } = entry;
    this.waiting = this.waiting.filter((one) => one !== entry);
    this.running.add(entry);
    state.current = entry;
    this.hasChanged = true;
    const begun = performance.now();
    entry.running.set(worker, begun);
    this.owners.set(item.lane, worker);
    const { job } = this;
    const cancellation = {
      get isCancellationRequested(): boolean {
        return entry.isDone || job.cancellation.isCancellationRequested;
      },
    };
    try {
      const result = await worker.do(item, { progress: entry.progress, cancellation });
      const took = performance.now() - begun;
      state.losses = 0;
      state.done++;
      state.seconds += took / 1000;
      this.rates = [...this.rates, took / item.cost].slice(-rememberedRates);
      if (!entry.isDone) {
        this.settle(entry, () => {
          entry.resolve(result);
        });
      }
    } catch (error) {
      if (this.workers.get(worker) === state) {
        this.fail(entry, worker, state, error);
      }
    } finally {
      state.current = undefined;
      this.hasChanged = true;
      this.assignAll();
    }
  }

  private fail(entry: Entry, worker: JobWorker, state: WorkerState, error: unknown): void {
    if (this.job.cancellation.isCancellationRequested) {
      this.cancel();
      return;
    }
    const isFinal = error instanceof UserError || worker === this.home;
    if (isFinal && !entry.isDone) {
      this.settle(entry, () => {
        entry.reject(error);
      });
    }
    state.losses = error instanceof WorkerLostError ? state.losses + 1 : 0;
    if (state.losses >= maxLosses) {
      this.workers.delete(worker);
    }
    this.lose(entry, worker, failureLog(error));
  }

  private lose(entry: Entry, worker: JobWorker, why: string): void {
    entry.running.delete(worker);
    if (this.owners.get(entry.item.lane) === worker) {
      this.owners.delete(entry.item.lane);
    }
    if (!entry.isDone) {
      entry.failures.push({ worker, text: why });
      this.watch.lost(worker, why.split('\n', 1)[0] ?? '');
      this.retry(entry);
    }
  }

  private settle(entry: Entry, tell: () => void): void {
    entry.isDone = true;
    this.running.delete(entry);
    tell();
  }

  private retry(entry: Entry): void {
    if (entry.running.size > 0) {
      return;
    }
    this.running.delete(entry);
    if (entry.failures.length < maxTries) {
      this.waiting.unshift(entry);
      return;
    }
    const log = entry.failures
      .map(({ worker, text }) => `${inEnglish(worker.name)}: ${text}`)
      .join('\n');
    this.settle(entry, () => {
      entry.reject(
        new UserError(
          'work-item-failed',
          say`A work item failed ${maxTries} times. ${verbatim(log)}`,
          {
            remedy: say`Run it again with one worker: progress is saved, and the error appears in this process.`,
          },
        ),
      );
    });
  }
}

/** Log line with the error and the worker's last output. */
function failureLog(error: unknown): string {
  if (error instanceof WorkerLostError) {
    return [error.message, ...error.log].join('\n');
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
