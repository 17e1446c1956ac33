import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import process from 'node:process';
import {
  CancellationTokenSource,
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  ResponseError,
} from 'vscode-jsonrpc/node';
import type { CancellationToken, MessageConnection } from 'vscode-jsonrpc/node';
import type { StageProgress, WorkerProgress } from '../../core/jobs/job';
import { UserError } from '../../core/user-error';
import { begins, cutPieces, Joiner } from '../../protocol/pieces';
import type { SentPiece } from '../../protocol/pieces';
import { jobNotification, nextPiece, requestPiece } from '../../protocol/worker';
import type {
  JobEnvelope,
  JobEvent,
  JobNotification,
  RequestPiece,
  WorkerErrorData,
  Requests,
} from '../../protocol/worker';
import { RequestCancelled, WorkerCrashed, WorkerRequestError } from './worker-errors';
import type { WorkerExit } from './worker-errors';
import type { Message } from '../../core/message';

/** Callbacks for the caller of a request. vscode's and vscode-jsonrpc's tokens fit `token`. */
export interface RequestWatch {
  readonly token?: {
    readonly isCancellationRequested: boolean;
    readonly onCancellationRequested: (listener: () => void) => { dispose(): void };
  };
  readonly onProgress?: (progress: StageProgress) => void;
  readonly onEvent?: (event: JobEvent) => void;
  readonly onWarning?: (warning: Message) => void;
  readonly onInformation?: (information: Message) => void;
  readonly onWorkers?: (workers: readonly WorkerProgress[]) => void;
}

/** Options for starting the child. */
export interface WorkerOptions {
  /** Path of the bundled worker. */
  readonly modulePath: string;
  /** Time that the worker has to stop after a cancellation before it is killed. */
  readonly graceMilliseconds: number;
  /** Receives the worker's standard output and standard error. */
  readonly onOutput: (text: string) => void;
}

/** One forked child with its connection. Lives until it exits; {@link WorkerClient} starts the next. */
export class WorkerProcess<R extends Requests<R>> {
  /** Resolves when the child exits. */
  public readonly exited: Promise<WorkerExit>;
  /** Set when this side ended the child because a cancelled request did not stop. */
  public killedForCancel = false;

  readonly #child: ChildProcess;
  readonly #connection: MessageConnection;
  readonly #watches = new Map<number, RequestWatch>();
  /** Reject pending requests when the child exits. */
  readonly #crashes = new Set<(exit: WorkerExit) => void>();
  readonly #graceMilliseconds: number;
  #hasExited = false;
  #nextJob = 1;

  public constructor(options: WorkerOptions) {
    this.#graceMilliseconds = options.graceMilliseconds;
    this.#child = fork(options.modulePath, [], {
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...process.env,
        // Under VS Code this process is Electron, which needs this variable to act as Node.
        ELECTRON_RUN_AS_NODE: '1',
        ORT_DISABLE_TELEMETRY: '1',
      },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        options.onOutput(text);
      });
    }
    this.#connection = createMessageConnection(
      new IPCMessageReader(this.#child),
      new IPCMessageWriter(this.#child),
    );
    this.#connection.onNotification(jobNotification, (notification: JobNotification) => {
      this.#notify(notification);
    });
    // A failed write means that the child is exiting; its exit rejects the requests.
    this.#connection.onError(() => undefined);
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
      this.#child.once('error', (error) => {
        resolve({ code: null, signal: null, failure: error.message });
      });
    });
    void this.exited.then((exit) => {
      this.#hasExited = true;
      this.#connection.dispose();
      for (const crash of this.#crashes) {
        crash(exit);
      }
    });
    this.#connection.listen();
  }

  public get pid(): number | undefined {
    return this.#child.pid;
  }

  public async request<M extends keyof R & string>(
    method: M,
    request: R[M][0],
    watch: RequestWatch,
  ): Promise<R[M][1]> {
    const job = this.#nextJob++;
    const source = new CancellationTokenSource();
    let grace: NodeJS.Timeout | undefined;
    const cancel = (): void => {
      source.cancel();
      grace = setTimeout(() => {
        this.killedForCancel = true;
        this.kill();
      }, this.#graceMilliseconds);
    };
    this.#watches.set(job, watch);
    const answer = this.#answer(method, job, request, source.token);
    const listening = watch.token?.onCancellationRequested(cancel);
    if (watch.token?.isCancellationRequested === true) {
      cancel();
    }
    try {
      return (await this.#unlessCrashed(method, answer)) as R[M][1];
    } catch (error) {
      throw await this.#explain(method, error, watch);
    } finally {
      clearTimeout(grace);
      listening?.dispose();
      source.dispose();
      this.#watches.delete(job);
    }
  }

  /** Ends the child at once. Its journals and temporary folders are made to bear it. */
  public kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Sends a request and receives its answer in chunks, each in its own event-loop turn. */
  async #answer(
    method: string,
    job: number,
    request: object,
    token: CancellationToken,
  ): Promise<unknown> {
    let envelope: JobEnvelope = { job, request, answersInPieces: true };
    for (const { piece, isLast } of cutPieces(request)) {
      if (isLast && begins(piece)) {
        break;
      }
      await this.#connection.sendRequest(requestPiece, { job, piece } satisfies RequestPiece);
      envelope = { job, answersInPieces: true };
    }
    const answer = new Joiner();
    let sent = await this.#connection.sendRequest<SentPiece>(method, envelope, token);
    answer.add(sent.piece);
    while (!sent.isLast) {
      sent = await this.#connection.sendRequest<SentPiece>(nextPiece, { job });
      answer.add(sent.piece);
    }
    return answer.value;
  }

  /** The answer, or a rejection when the child exits. Racing with its exit would retain each answer until then. */
  async #unlessCrashed<T>(method: string, answer: Promise<T>): Promise<T> {
    if (this.#hasExited) {
      answer.catch(() => undefined);
      return this.#crash(method);
    }
    return new Promise((resolve, reject) => {
      const crash = (exit: WorkerExit): void => {
        reject(new WorkerCrashed(method, exit));
      };
      this.#crashes.add(crash);
      void answer.then(resolve, reject).finally(() => this.#crashes.delete(crash));
    });
  }

  /** Rejects when the child exits. */
  async #crash(method: string): Promise<never> {
    throw new WorkerCrashed(method, await this.exited);
  }

  async #explain(method: string, error: unknown, watch: RequestWatch): Promise<unknown> {
    const cancelled = watch.token?.isCancellationRequested === true;
    if (error instanceof ResponseError && isErrorData(error.data)) {
      const data = error.data;
      if (data.kind === 'user') {
        return new UserError(data.code, data.problem, data.subject);
      }
      return cancelled || data.kind === 'cancelled'
        ? new RequestCancelled()
        : new WorkerRequestError(error.message);
    }
    if (cancelled) {
      return new RequestCancelled();
    }
    if (error instanceof WorkerCrashed || this.#child.connected) {
      return error;
    }
    return this.#crash(method).catch((crash: unknown) => crash);
  }

  #notify({ job, message }: JobNotification): void {
    const watch = this.#watches.get(job);
    switch (message.kind) {
      case 'progress':
        watch?.onProgress?.(message.progress);
        break;
      case 'event':
        watch?.onEvent?.(message.event);
        break;
      case 'warning':
        watch?.onWarning?.(message.warning);
        break;
      case 'information':
        watch?.onInformation?.(message.information);
        break;
      case 'workers':
        watch?.onWorkers?.(message.workers);
        break;
    }
  }
}

function isErrorData(data: unknown): data is WorkerErrorData {
  return typeof data === 'object' && data !== null && 'kind' in data;
}
