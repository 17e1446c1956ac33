import { availableParallelism } from 'node:os';
import { Child } from '../jobs/child-task';
import type { TaskJob } from '../jobs/child-task';
import { say } from '../message';
import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';
import { readMessage } from './read-message';
import type { Crew, Engine, Piece, PieceSetup, PieceWorker } from './piece';

/** What a process is sent for each piece. */
export interface PieceTask {
  /** Absent where the process knows it from an earlier piece. */
  readonly setup: PieceSetup | undefined;
  readonly request: unknown;
  readonly limits: PieceLimits;
}

/** What a worker may take of its machine. */
export interface PieceLimits {
  /** See {@link Engine.threads}. */
  readonly threads?: number | undefined;
  /** See {@link Engine.memoryShare}. */
  readonly memoryShare: number;
  /** The device and memory of this machine, where they are not those of the job. */
  readonly device?: DeviceName | undefined;
  readonly memoryBytes?: number | undefined;
}

/** A process of this machine that does pieces of one job; started when it has one, and again when it is lost. */
export class LocalWorker implements PieceWorker {
  private child: Child | undefined;
  /** Whether the process has opened what the pieces share. */
  private isSetUp = false;

  public constructor(
    public readonly name: Message,
    private readonly script: string,
    private readonly setup: PieceSetup,
    private readonly limits: PieceLimits,
  ) {}

  public async do({ request, result: schema }: Piece, job: TaskJob): Promise<unknown> {
    if (this.child?.isGone !== false) {
      this.child = new Child({ script: this.script });
      this.isSetUp = false;
    }
    const { limits, setup, isSetUp } = this;
    const task: PieceTask = { setup: isSetUp ? undefined : setup, request, limits };
    const result = await this.child.run(task, job);
    this.isSetUp = true;
    return readMessage(schema, result, 'Its result');
  }

  public end(): void {
    this.child?.end();
  }
}

/** Processes of this machine, which share its cores and the memory setting. */
export class LocalEngine implements Engine {
  public readonly threads: number;
  public readonly memoryShare: number;

  /**
   * @param script the bundle that does pieces
   * @param size processes in all, this one included
   */
  public constructor(
    private readonly script: string,
    public readonly size: number,
  ) {
    this.threads = Math.max(1, Math.floor(availableParallelism() / size));
    this.memoryShare = 1 / size;
  }

  public hire(setup: PieceSetup, crew: Crew): Promise<() => Promise<void>> {
    const { threads, memoryShare } = this;
    const workers = Array.from(
      { length: this.size - 1 },
      (_, i) =>
        new LocalWorker(say`Process ${i + 2}`, this.script, setup, { threads, memoryShare }),
    );
    workers.forEach((worker) => {
      crew.join(worker);
    });
    return Promise.resolve(() => {
      workers.forEach((worker) => {
        worker.end();
      });
      return Promise.resolve();
    });
  }
}
