import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Job, Queue } from 'bullmq';
import { WorkerLostError } from '../../jobs/child-task';
import type { TaskJob } from '../../jobs/child-task';
import { CancelledError } from '../../jobs/job';
import { probeRequest, probeSchema } from '../work-item';
import type {
  WorkerPool,
  Engine,
  WorkerSearch,
  WorkItem,
  WorkSetup,
  JobWorker,
} from '../work-item';
import { Answers } from './answers';
import { encode, retentionSeconds, queueName, setupKey } from './codec';
import type { QueueServer } from './connection';
import type { Order } from './codec';
import { beatMilliseconds, Fingerprints, prefix, Registry, silentMilliseconds } from './registry';
import type { WorkerEntry } from './registry';
import { say, verbatim } from '../../message';
import type { Message } from '../../message';

/**
 * Time after which a work item counts as lost if its worker doesn't report it, for example after the server lost its
 * data.
 */
const unknownMilliseconds = 2 * silentMilliseconds;
/** Time that workers have to register again, in milliseconds. */
const graceMilliseconds = 2 * beatMilliseconds;
/** Maximum time that a job waits for workers to be checked, in milliseconds. */
const trialMilliseconds = 3000;

/** Worker on another machine, with its own queue. */
class RemoteWorker implements JobWorker {
  private readonly queue: Queue;
  /** Last registered entry of the worker. */
  public entry: WorkerEntry;
  /** Time when the worker last reported the current work item, or received it. */
  private knownAt = 0;
  private heardAt = performance.now();
  private attempt: string | undefined;
  private piece: string | undefined;
  /** Current request; resolves after it is removed from the server. */
  private asked: Promise<unknown> = Promise.resolve();
  private isStopped = false;

  public constructor(
    entry: WorkerEntry,
    private readonly remoteJob: RemoteJob,
  ) {
    this.entry = entry;
    const { redis, library } = remoteJob.server;
    this.queue = new library.Queue(queueName(entry.id), {
      connection: redis,
      ...{ prefix, skipVersionCheck: true },
    });
    // The connection reports its errors.
    this.queue.on('error', () => undefined);
  }

  public get name(): Message {
    return verbatim(this.entry.name);
  }

  /** True if the worker registered recently. Its entry may be missing after a restart of the server. */
  public get isHeard(): boolean {
    return performance.now() - this.heardAt < graceMilliseconds;
  }

  public async do<Result>(piece: WorkItem<Result>, { cancellation }: TaskJob): Promise<Result> {
    const asked = this.ask(piece, cancellation);
    this.asked = asked.catch(() => undefined);
    return asked;
  }

  private async ask<Result>(
    piece: WorkItem<Result>,
    cancellation: TaskJob['cancellation'],
  ): Promise<Result> {
    const { answers, setup, counts } = this.remoteJob;
    // Results depend on the device, so the key includes it.
    const key = `${piece.key}-${this.entry.device}`;
    await this.remoteJob.putSetup();
    if (this.isStopped) {
      throw new CancelledError();
    }
    const attempt = randomUUID();
    const order: Order = { attempt, piece: key, setup: setup.key, request: piece.request };
    this.knownAt = performance.now();
    [this.attempt, this.piece] = [attempt, key];
    const result = answers.wait(attempt, { key, result: piece.result });
    // The error is handled by the await below.
    result.catch(() => undefined);
    counts.open++;
    let job: Job | undefined;
    const timer = setInterval(() => {
      if (cancellation.isCancellationRequested) {
        answers.abandon(attempt, new CancelledError());
      }
    }, beatMilliseconds / 10);
    try {
      job = await this.queue.add('piece', order, { removeOnComplete: true, removeOnFail: true });
      const found = await result;
      counts.done++;
      return found;
    } finally {
      counts.open--;
      clearInterval(timer);
      this.attempt = undefined;
      answers.abandon(attempt, new CancelledError());
      // Removes it if it hasn't started.
      await job?.remove().catch(() => undefined);
    }
  }

  /** Updates the worker's entry. */
  public hear(entry: WorkerEntry): void {
    this.entry = entry;
    const now = performance.now();
    this.heardAt = now;
    if (entry.piece !== null && entry.piece === this.piece) {
      this.knownAt = now;
    } else if (entry.piece === null && now - this.knownAt > unknownMilliseconds) {
      this.lose('The server has lost its piece.');
    }
  }

  public lose(why: string): void {
    this.abandon(new WorkerLostError(why));
  }

  /** Cancels the current request; resolves when the server has recorded it. */
  public async stop(): Promise<void> {
    this.isStopped = true;
    this.abandon(new CancelledError());
    await this.asked;
    await this.close(false);
  }

  private abandon(error: Error): void {
    if (this.attempt !== undefined) {
      this.remoteJob.answers.abandon(this.attempt, error);
    }
  }

  /** @param isGone true if no worker is left to read the queue */
  public async close(isGone: boolean): Promise<void> {
    if (isGone) {
      await this.queue.obliterate({ force: true }).catch(() => undefined);
    }
    await this.queue.close().catch(() => undefined);
  }
}

/** Workers and state of one job. */
interface RemoteJob {
  readonly server: QueueServer;
  readonly setup: WorkSetup;
  readonly answers: Answers;
  readonly counts: { open: number; done: number };
  /** Uploads the setup unless the server has it. */
  readonly putSetup: () => Promise<void>;
}

/** Engine with workers on other machines, connected by a Redis or Valkey server with BullMQ queues. */
export class QueueEngine implements Engine {
  public readonly memoryShare = 1;
  /** Below the 512 MB limit of Redis values and of strings in this process. */
  public readonly mostResultBytes = 1 << 28;

  /**
   * Creates an engine.
   * @param open connects to the server when a job starts
   * @param version Espalier version that workers must have
   */
  public constructor(
    private readonly open: () => Promise<QueueServer>,
    private readonly version: string,
  ) {}

  /** @throws UserError if the server can't be used. */
  public async addWorkers(
    setup: WorkSetup,
    pool: WorkerPool,
    means: WorkerSearch,
  ): Promise<() => Promise<void>> {
    const server = await this.open();
    const { redis } = server;
    const answers = new Answers(redis);
    const text = encode({
      kind: setup.kind,
      files: Object.fromEntries(
        Object.entries(setup.files).map(([name, { fingerprint }]) => [name, fingerprint]),
      ),
      data: setup.data,
    });
    const remoteJob: RemoteJob = {
      ...{ server, setup, answers, counts: { open: 0, done: 0 } },
      putSetup: async () => {
        const key = setupKey(setup.key);
        if ((await redis.expire(key, retentionSeconds)) === 0) {
          await redis.set(key, text, 'EX', retentionSeconds);
        }
      },
    };
    let watch: Watch | undefined;
    const stop = async (): Promise<void> => {
      await watch?.stop();
      answers.stop();
      redis.disconnect();
    };
    try {
      // Before work items start, because a model runs one request at a time.
      const here = await means.probe();
      watch = new Watch(remoteJob, pool, { ...means, here }, this.version);
      await watch.look();
      watch.start();
      await Promise.race([watch.tried(), setTimeout(trialMilliseconds, undefined, { ref: false })]);
      return stop;
    } catch (error) {
      await stop();
      throw error;
    }
  }
}

/** Watches for workers that join and leave. */
class Watch {
  private readonly known = new Map<string, RemoteWorker>();
  /** Ids of workers that were rejected or are being checked. */
  private readonly refused = new Set<string>();
  private readonly workers: Registry<'worker'>;
  private readonly jobs: Registry<'job'>;
  private readonly id = randomUUID();
  private readonly started = performance.now();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private isStopped = false;
  private readonly trials: Promise<void>[] = [];

  public constructor(
    private readonly remoteJob: RemoteJob,
    private readonly pool: WorkerPool,
    private readonly means: Omit<WorkerSearch, 'probe'> & { readonly here: readonly number[] },
    private readonly version: string,
  ) {
    this.workers = new Registry(remoteJob.server.redis, 'worker');
    this.jobs = new Registry(remoteJob.server.redis, 'job');
  }

  public start(): void {
    if (this.known.size + this.refused.size === 0) {
      this.means.inform(
        say`No worker of the queue has the files of this job yet. This process works alone until one joins.`,
      );
    }
    let isLooking = false;
    this.timer = setInterval(() => {
      if (!isLooking) {
        isLooking = true;
        this.looking = this.look()
          // The server is unreachable: workers continue and report later.
          .catch(() => undefined)
          .finally(() => {
            isLooking = false;
          });
      }
    }, beatMilliseconds);
  }

  public async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    const ended = Promise.all([...this.known.values()].map(async (worker) => worker.stop()));
    if (this.remoteJob.server.redis.status === 'ready') {
      const deregistered = ended
        .then(async () => this.looking)
        .then(async () => this.jobs.remove(this.id));
      // Doesn't wait for a server that is currently unreachable.
      await Promise.race([
        deregistered.catch(() => undefined),
        setTimeout(silentMilliseconds, undefined, { ref: false }),
      ]);
    }
  }

  /** Resolves when all known workers have been checked. */
  public async tried(): Promise<void> {
    await Promise.all(this.trials);
  }

  public async look(): Promise<void> {
    const { setup, counts, server } = this.remoteJob;
    const needed = Object.values(setup.files).map(({ fingerprint }) => fingerprint);
    const [about = ''] = needed;
    const { open, done } = counts;
    const seconds = (performance.now() - this.started) / 1000;
    await this.jobs.put({
      ...{ id: this.id, kind: setup.kind, about, seconds, open, done },
    });
    const there = new Map((await this.workers.list()).map((entry) => [entry.id, entry]));
    for (const [id, worker] of this.known) {
      const entry = there.get(id);
      if (entry !== undefined) {
        worker.hear(entry);
        if (entry.leaving) {
          this.pool.retire(worker);
        }
        continue;
      }
      if (worker.isHeard) {
        continue;
      }
      const why = `It has said nothing for ${silentMilliseconds / 1000} seconds.`;
      this.known.delete(id);
      this.refused.delete(id);
      worker.lose(why);
      this.pool.leave(worker, why);
      await worker.close(true);
    }
    for (const entry of there.values()) {
      const isNew = !this.known.has(entry.id) && !this.refused.has(entry.id);
      const isFit =
        isNew && !entry.leaving && (await new Fingerprints(server.redis, entry.id).include(needed));
      if (isFit && !this.isStopped) {
        this.refused.add(entry.id);
        const trial = this.admit(entry).catch((error: unknown) => {
          this.known.delete(entry.id);
          if (error instanceof WorkerLostError) {
            // It may return and be checked again.
            this.refused.delete(entry.id);
          } else if (!this.isStopped) {
            const why = error instanceof Error ? error.message : String(error);
            this.means.warn(say`${entry.name} can't join. ${verbatim(why)}`);
          }
        });
        this.trials.push(trial);
      }
    }
  }

  /** Adds a worker if its outputs equal those of this process. */
  private async admit(entry: WorkerEntry): Promise<void> {
    const { warn, inform, here } = this.means;
    if (entry.version !== this.version) {
      warn(
        say`${entry.name} runs Espalier ${entry.version} and can't join: this is ${this.version}.`,
      );
      return;
    }
    const worker = new RemoteWorker(entry, this.remoteJob);
    this.known.set(entry.id, worker);
    const key = `${this.remoteJob.setup.key}-${probeRequest}-${entry.id}`;
    const found = await worker.do(
      { key, lane: 0, cost: 1, request: probeRequest, result: probeSchema },
      {
        progress: () => undefined,
        cancellation: {
          isCancellationRequested: false,
        },
      },
    );
    const difference = relativeDifference(here, found);
    if (this.isStopped || this.known.get(entry.id) !== worker) {
      return;
    }
    if (difference <= maxDifference) {
      this.pool.join(worker);
      inform(
        say`${entry.name} joins: its results differ by at most ${difference.toExponential(1)}.`,
      );
      return;
    }
    this.known.delete(entry.id);
    await worker.close(false);
    warn(
      say`${entry.name} can't join: its results differ by ${difference.toExponential(1)}, more than ${maxDifference.toExponential(0)}.`,
    );
  }
}

/** Maximum difference of a worker's outputs, relative to the largest output of this process. */
const maxDifference = 1e-4;

/** Maximum difference of two lists relative to the largest value of the first; infinite if their lengths differ. */
function relativeDifference(expected: readonly number[], found: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs), Number.MIN_VALUE);
  const far = Math.max(...expected.map((one, i) => Math.abs(one - (found[i] ?? Number.NaN))));
  return expected.length === found.length && Number.isFinite(far)
    ? far / largest
    : Number.POSITIVE_INFINITY;
}
