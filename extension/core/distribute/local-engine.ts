import { availableParallelism } from 'node:os';
import { Child } from '../jobs/child-task';
import type { TaskJob } from '../jobs/child-task';
import { say } from '../message';
import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';
import { readMessage } from './work-item';
import type { WorkerPool, Engine, WorkItem, WorkSetup, JobWorker } from './work-item';

/** Message to a child process for each work item. */
export interface WorkerTask {
  /** Absent if the process knows it from an earlier work item. */
  readonly setup: WorkSetup | undefined;
  readonly request: unknown;
  readonly limits: WorkerLimits;
}

/** Resource limits of a worker. */
export interface WorkerLimits {
  /** See {@link Engine.threads}. */
  readonly threads?: number | undefined;
  /** See {@link Engine.memoryShare}. */
  readonly memoryShare: number;
  /** Device and memory of this machine, if they differ from those of the job. */
  readonly device?: DeviceName | undefined;
  readonly memoryBytes?: number | undefined;
}

/**
 * Worker that runs work items of one job in a child process. The process is started on demand and restarted when it is
 * lost.
 */
export class LocalWorker implements JobWorker {
  private child: Child | undefined;
  /** True if the process has opened the shared setup. */
  private isSetUp = false;

  public constructor(
    public readonly name: Message,
    private readonly script: string,
    private readonly setup: WorkSetup,
    private readonly limits: WorkerLimits,
  ) {}

  public async do({ request, result: schema }: WorkItem, job: TaskJob): Promise<unknown> {
    if (this.child?.isGone !== false) {
      this.child = new Child({ script: this.script });
      this.isSetUp = false;
    }
    const { limits, setup, isSetUp } = this;
    const task: WorkerTask = { setup: isSetUp ? undefined : setup, request, limits };
    const result = await this.child.run(task, job);
    this.isSetUp = true;
    return readMessage(schema, result, 'Its result');
  }

  public end(): void {
    this.child?.end();
  }
}

/** Engine with child processes of this machine, which share its cores and the memory setting. */
export class LocalEngine implements Engine {
  public readonly threads: number;
  public readonly memoryShare: number;

  /**
   * @param script path of the bundle that runs work items
   * @param size total number of processes, including this one
   */
  public constructor(
    private readonly script: string,
    public readonly size: number,
  ) {
    this.threads = Math.max(1, Math.floor(availableParallelism() / size));
    this.memoryShare = 1 / size;
  }

  public addWorkers(setup: WorkSetup, pool: WorkerPool): Promise<() => Promise<void>> {
    const { threads, memoryShare } = this;
    const workers = Array.from(
      { length: this.size - 1 },
      (_, i) =>
        new LocalWorker(say`Process ${i + 2}`, this.script, setup, { threads, memoryShare }),
    );
    workers.forEach((worker) => {
      pool.join(worker);
    });
    return Promise.resolve(() => {
      workers.forEach((worker) => {
        worker.end();
      });
      return Promise.resolve();
    });
  }
}
