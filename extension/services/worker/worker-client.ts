import type { Requests, WorkerRequests } from '../../protocol/worker';
import { isJob, runsOrWrites } from '../jobs/operations';
import { WorkerCrashed } from './worker-errors';
import { WorkerProcess } from './worker-process';
import type { RequestWatch, WorkerOptions } from './worker-process';

/** Options for starting the child, and for requests that do more than read. */
export interface ClientOptions extends WorkerOptions {
  /** Throws if no model may be run and no file written. */
  readonly assertMayRun: () => void;
}

/**
 * The host's end of a child process: the worker, or the inspector. The child is started by the first request and after it has ended.
 * A request cancelled through its token is rejected with RequestCancelled within the grace period;
 * a request whose child ends is rejected with WorkerCrashed.
 */
export class WorkerClient<R extends Requests<R> = WorkerRequests> {
  readonly #options: ClientOptions;
  #worker: WorkerProcess<R> | undefined;
  #disposed = false;

  public constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** Process id of the running child, if one runs. */
  public get pid(): number | undefined {
    return this.#worker?.pid;
  }

  public async request<M extends keyof R & string>(
    method: M,
    request: R[M][0],
    watch: RequestWatch = {},
  ): Promise<R[M][1]> {
    if (runsOrWrites(method)) {
      this.#options.assertMayRun();
    }
    for (;;) {
      const worker = this.#running();
      try {
        return await worker.request(method, request, watch);
      } catch (error) {
        const collateral = error instanceof WorkerCrashed && worker.killedForCancel;
        // Requests that aren't jobs can be repeated: they are sent again if a canceled job ended
        // the child process.
        if (!collateral || isJob(method) || this.#disposed) {
          throw error;
        }
      }
    }
  }

  public dispose(): void {
    this.#disposed = true;
    this.#worker?.kill();
  }

  #running(): WorkerProcess<R> {
    if (this.#disposed) {
      throw new Error('The extension has been deactivated.');
    }
    if (this.#worker === undefined) {
      const worker = new WorkerProcess<R>(this.#options);
      this.#worker = worker;
      void worker.exited.then(() => {
        if (this.#worker === worker) {
          this.#worker = undefined;
        }
      });
    }
    return this.#worker;
  }
}
