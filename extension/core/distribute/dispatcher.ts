import { CancelledError } from '../jobs/job';
import type { StageProgress, WorkerTally } from '../jobs/job';
import { WorkerLostError } from '../jobs/child-task';
import type { TaskJob } from '../jobs/child-task';
import { median } from '../median';
import { UserError } from '../user-error';
import type { Crew, Piece, PieceWorker } from './piece';
import { inEnglish, say, verbatim } from '../message';

/** A piece that has failed so often is given up. */
const mostTries = 3;
/** A worker that has lost so many pieces one after the other gets no more. */
const mostLosses = 3;
/** A piece that takes so many times what others of its cost took is given to another worker as well. */
const stragglerFactor = 4;
/** It takes at least so long before that. */
const stragglerMilliseconds = 5000;
/** How long a worker may take where nothing tells how long that is: it may hang from the first piece on. */
const unknownMilliseconds = 120_000;
/** How often stragglers and cancellation are looked for. */
const tickMilliseconds = 100;
/** Rates of so many pieces, the last ones, say how long a piece takes. */
const rememberedRates = 64;

interface Entry {
  readonly piece: Piece;
  readonly progress: (progress: StageProgress) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Whether it may wait for all others, as nobody may ever ask for it. */
  isAhead: boolean;
  isDone: boolean;
  /** When each worker that does it began. */
  readonly running: Map<PieceWorker, number>;
  readonly failures: { readonly worker: PieceWorker; readonly text: string }[];
}

interface WorkerState {
  /** Whether it gets no more. */
  isRetired: boolean;
  current: Entry | undefined;
  losses: number;
  /** Pieces that it has done, and the seconds that they took. */
  done: number;
  seconds: number;
}

/** Hears what happens to pieces. */
export interface PieceWatch {
  /** A worker is lost, or a piece has failed and is tried again. */
  readonly lost: (worker: PieceWorker, why: string) => void;
  /** Not more often than somebody can read it. */
  readonly changed: (workers: readonly WorkerTally[]) => void;
}

/** A piece that was handed in. */
export interface Pending<Result> {
  readonly result: Promise<Result>;
  /** Somebody waits for it now. */
  readonly want: () => void;
  /** Nobody needs it: it is not begun any more. */
  readonly drop: () => void;
}

/**
 * Hands pieces out to workers. Lanes stay with a worker as long as it has work; a piece that fails is tried again, by
 * another worker where there is one; one that takes far longer than others is given to a second, and counts once.
 */
export class Dispatcher implements Crew {
  private readonly workers = new Map<PieceWorker, WorkerState>();
  private readonly owners = new Map<number, PieceWorker>();
  private waiting: Entry[] = [];
  private readonly running = new Set<Entry>();
  /** Milliseconds per cost of pieces that were done. */
  private rates: number[] = [];
  private isEnded = false;
  /** Whether there is something to tell of the workers. */
  private hasChanged = false;
  private readonly timer: NodeJS.Timeout;
  /** What this process does just now; it ends before {@link Dispatcher.end} does. */
  private atHome: Promise<void> = Promise.resolve();

  /**
   * @param home does pieces in this process
   */
  public constructor(
    private readonly home: PieceWorker,
    private readonly job: Pick<TaskJob, 'cancellation'>,
    private readonly watch: PieceWatch,
  ) {
    this.join(home);
    this.timer = setInterval(() => {
      if (job.cancellation.isCancellationRequested) {
        this.cancel();
      }
      this.hand();
      this.tell();
    }, tickMilliseconds);
  }

  /** How many work at once. */
  public get size(): number {
    return this.workers.size;
  }

  public join(worker: PieceWorker): void {
    this.workers.set(worker, {
      ...{ current: undefined, losses: 0, isRetired: false },
      ...{ done: 0, seconds: 0 },
    });
    this.hasChanged = true;
    this.hand();
  }

  /** A worker ends what it has begun, and gets no more. */
  public retire(worker: PieceWorker): void {
    const state = this.workers.get(worker);
    if (state !== undefined) {
      state.isRetired = true;
    }
  }

  /** What a worker has not ended is done by others. */
  public leave(worker: PieceWorker, why: string): void {
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
    this.hand();
  }

  /** Hands in a piece. Its result is what the first worker that ends it gives. */
  public add<Result>(
    piece: Piece<Result>,
    {
      isAhead = false,
      progress = () => undefined,
    }: Partial<Pick<Entry, 'isAhead' | 'progress'>> = {},
  ): Pending<Result> {
    let entry: Entry | undefined;
    const result = new Promise<Result>((resolve, reject) => {
      entry = {
        ...{ piece, progress, reject, isAhead, isDone: false },
        // Workers give what the piece says that its result looks like.
        resolve: (found) => {
          resolve(found as Result);
        },
        ...{ running: new Map(), failures: [] },
      };
      this.waiting.push(entry);
    });
    // Whoever waits hears of it; a piece that nobody waits for may fail.
    result.catch(() => undefined);
    if (this.isEnded) {
      entry?.reject(new CancelledError());
    } else {
      // All pieces that are handed in together are there when the first is chosen.
      queueMicrotask(() => {
        this.hand();
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

  /** Ends all: what is not done is cancelled. */
  public async end(): Promise<void> {
    this.cancel();
    clearInterval(this.timer);
    this.tell();
    await this.atHome;
  }

  private tell(): void {
    if (this.hasChanged) {
      this.hasChanged = false;
      const tallies = [...this.workers].map(([{ name }, { done, seconds, current }]) => ({
        ...{ name, done, seconds, isBusy: current !== undefined },
      }));
      this.watch.changed(tallies);
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

  /** Gives every worker that has nothing to do what is best for it. */
  private hand(): void {
    for (const [worker, state] of this.workers) {
      if (state.current === undefined && !state.isRetired && !this.isEnded) {
        const entry = this.choose(worker);
        if (entry !== undefined) {
          const giving = this.give(entry, worker, state);
          if (worker === this.home) {
            this.atHome = giving;
          }
        }
      }
    }
  }

  private choose(worker: PieceWorker): Entry | undefined {
    const open = this.waiting.filter((entry) => this.mayTake(worker, entry));
    const rank = ({ piece, isAhead }: Entry): number => {
      const owner = this.owners.get(piece.lane);
      const place = piece.home === true ? 0 : owner === worker ? 1 : owner === undefined ? 2 : 3;
      return (isAhead ? 10 : 0) + place;
    };
    const best = open.reduce<Entry | undefined>(
      (first, entry) => (first === undefined || rank(entry) < rank(first) ? entry : first),
      undefined,
    );
    return best ?? this.straggler(worker);
  }

  private mayTake(worker: PieceWorker, { piece, failures }: Entry): boolean {
    if (piece.home === true) {
      return worker === this.home;
    }
    const owner = this.owners.get(piece.lane);
    const state = owner === undefined ? undefined : this.workers.get(owner);
    if (owner !== worker && state?.current === undefined && state?.isRetired === false) {
      return false;
    }
    const others = [...this.workers.keys()].filter((one) => one !== this.home);
    const hasFailed = (one: PieceWorker): boolean =>
      failures.some((failure) => failure.worker === one);
    // What may end a process is not done in this one, as long as there are others.
    return worker === this.home
      ? failures.length === 0 || others.length === 0
      : !hasFailed(worker) || others.every(hasFailed);
  }

  /** A piece of another worker that takes too long. */
  private straggler(worker: PieceWorker): Entry | undefined {
    const rate = this.rates.length === 0 ? undefined : median(this.rates);
    const now = performance.now();
    return [...this.running].find(({ piece, running, failures }) => {
      const [begun = now] = running.values();
      const patience =
        rate === undefined
          ? unknownMilliseconds
          : Math.max(stragglerMilliseconds, stragglerFactor * rate * piece.cost);
      // What has ended a process is not done in this one, however slowly another starts.
      const mayEndThis = worker === this.home && failures.length > 0;
      return (
        piece.home !== true &&
        !mayEndThis &&
        running.size === 1 &&
        !running.has(worker) &&
        now - begun > patience
      );
    });
  }

  private async give(entry: Entry, worker: PieceWorker, state: WorkerState): Promise<void> {
    const { piece } = entry;
    this.waiting = this.waiting.filter((one) => one !== entry);
    this.running.add(entry);
    state.current = entry;
    this.hasChanged = true;
    const begun = performance.now();
    entry.running.set(worker, begun);
    this.owners.set(piece.lane, worker);
    const { job } = this;
    const cancellation = {
      get isCancellationRequested(): boolean {
        return entry.isDone || job.cancellation.isCancellationRequested;
      },
    };
    try {
      const result = await worker.do(piece, { progress: entry.progress, cancellation });
      const took = performance.now() - begun;
      state.losses = 0;
      state.done++;
      state.seconds += took / 1000;
      this.rates = [...this.rates, took / piece.cost].slice(-rememberedRates);
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
      this.hand();
    }
  }

  private fail(entry: Entry, worker: PieceWorker, state: WorkerState, error: unknown): void {
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
    if (state.losses >= mostLosses) {
      this.workers.delete(worker);
    }
    this.lose(entry, worker, logOf(error));
  }

  private lose(entry: Entry, worker: PieceWorker, why: string): void {
    entry.running.delete(worker);
    if (this.owners.get(entry.piece.lane) === worker) {
      this.owners.delete(entry.piece.lane);
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
    if (entry.failures.length < mostTries) {
      this.waiting.unshift(entry);
      return;
    }
    const log = entry.failures
      .map(({ worker, text }) => `${inEnglish(worker.name)}: ${text}`)
      .join('\n');
    this.settle(entry, () => {
      entry.reject(
        new UserError(say`A piece of the work failed ${mostTries} times. ${verbatim(log)}`, {
          remedy: say`Run it again with one worker: progress is saved, and the error shows by itself.`,
        }),
      );
    });
  }
}

/** A line that says what happened, and what is known besides. */
function logOf(error: unknown): string {
  if (error instanceof WorkerLostError) {
    return [error.message, ...error.log].join('\n');
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
