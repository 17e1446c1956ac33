import { localOnly } from './with-workers';
import type { WorkerPool, Engine, WorkerSearch, WorkSetup, JobWorker } from './work-item';

/** Worker that is shared by consecutive jobs and finishes one work item before the next. */
class SerialWorker implements JobWorker {
  /** True if no other job may use it. */
  public isRetired = false;
  private last: Promise<unknown> = Promise.resolve();

  public constructor(private readonly worker: JobWorker) {}

  public get name(): JobWorker['name'] {
    return this.worker.name;
  }

  public readonly do: JobWorker['do'] = async (item, job) => {
    const found = this.last.then(async () => this.worker.do(item, job));
    this.last = found.catch(() => undefined);
    return found;
  };
}

/** Engine that keeps workers between jobs with the same setup, so that they are found and checked once. */
export class PersistentEngine implements Engine {
  public readonly threads: Engine['threads'];
  public readonly size: Engine['size'];
  public readonly memoryShare: Engine['memoryShare'];
  public readonly mostResultBytes: Engine['mostResultBytes'];
  private readonly workers = new Map<JobWorker, SerialWorker>();
  private key: string | undefined;
  private pool: WorkerPool | undefined;
  private release: (() => Promise<void>) | undefined;

  public constructor(private readonly engine: Engine) {
    this.threads = engine.threads;
    this.size = engine.size;
    this.memoryShare = engine.memoryShare;
    this.mostResultBytes = engine.mostResultBytes;
  }

  public async addWorkers(
    setup: WorkSetup,
    pool: WorkerPool,
    means: WorkerSearch,
  ): Promise<() => Promise<void>> {
    if (setup.key !== this.key) {
      await this.end();
      this.pool = pool;
      this.release = await this.engine.addWorkers(setup, this.relay(), means);
      this.key = setup.key;
    } else {
      this.pool = pool;
      for (const worker of this.workers.values()) {
        if (!worker.isRetired) {
          pool.join(worker);
        }
      }
    }
    return () => {
      this.pool = undefined;
      return Promise.resolve();
    };
  }

  /** Releases all workers. */
  public async end(): Promise<void> {
    const { release } = this;
    this.key = this.pool = this.release = undefined;
    this.workers.clear();
    await release?.();
  }

  private relay(): WorkerPool {
    return {
      join: (worker) => {
        const one = new SerialWorker(worker);
        this.workers.set(worker, one);
        this.pool?.join(one);
      },
      retire: (worker) => {
        const one = this.workers.get(worker);
        if (one !== undefined) {
          one.isRetired = true;
          this.pool?.retire(one);
        }
      },
      leave: (worker, why) => {
        const one = this.workers.get(worker);
        this.workers.delete(worker);
        if (one !== undefined) {
          this.pool?.leave(one, why);
        }
      },
    };
  }
}

/** Runs a function with an engine whose workers are kept for all of its jobs. */
export async function withPersistentWorkers<T>(
  engine: Engine | undefined,
  action: (engine: Engine | undefined) => Promise<T>,
): Promise<T> {
  if (engine === undefined || engine === localOnly) {
    return action(engine);
  }
  const standing = new PersistentEngine(engine);
  try {
    return await action(standing);
  } finally {
    await standing.end();
  }
}
