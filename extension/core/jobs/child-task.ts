import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import process from 'node:process';
import { CancelledError } from './job';
import type { JobContext, StageProgress } from './job';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { ErrorSubject } from '../user-error';
import { endWithParent } from './parent-watchdog';
import type { Message } from '../message';

/** Cancellation and progress of a running task. */
export type TaskJob = Pick<JobContext, 'cancellation' | 'progress'>;

/** Thrown when a worker process or connection ends before its task is done. */
export class WorkerLostError extends Error {
  public override readonly name = 'WorkerLostError';

  /** @param log the worker's last output, if it adds to the message */
  public constructor(
    message: string,
    public readonly log: readonly string[] = [],
  ) {
    super(message);
  }
}

type Order = { readonly kind: 'start'; readonly task: unknown } | { readonly kind: 'cancel' };

type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'begun' }
  | { readonly kind: 'progress'; readonly progress: StageProgress }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'cancelled' }
  | {
      readonly kind: 'user error';
      readonly code: ErrorCode;
      readonly problem: Message;
      readonly subject: ErrorSubject;
    }
  | { readonly kind: 'failure'; readonly text: string };

/** Interval of cancellation checks and progress reports, in milliseconds. */
const tickMilliseconds = 100;
/** Time that a canceled child has to finish its step before it is killed, in milliseconds. */
const graceMilliseconds = 10_000;
/** Time that a child has to become ready if its task has a time limit, in milliseconds. */
const startMilliseconds = 60_000;
/** Number of characters kept from the end of the child's output, for crash reports. */
const outputTail = 2000;
/** Maximum number of output lines that are reported with a crash. */
const maxLogLines = 10;

/** Options for starting a child process. */
interface ChildOptions {
  /** Path of the bundle that the child runs. */
  readonly script: string;
  /** Arguments of the script. */
  readonly args?: readonly string[];
  /** V8 heap limit in MiB. The child exits if it needs more. */
  readonly heapMegabytes?: number;
}

/**
 * Child process that runs one task at a time with {@link serveTasks}. Tasks and results are plain data or typed arrays.
 */
export class Child {
  private readonly child: ChildProcess;
  private output = '';
  private isTaskBegun = false;
  /** Time when the child became ready. Starting can take long on a busy machine. */
  private readySince: number | undefined;

  public constructor({ script, args = [], heapMegabytes }: ChildOptions) {
    this.child = fork(script, args, {
      execArgv: heapMegabytes === undefined ? [] : [`--max-old-space-size=${heapMegabytes}`],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', ORT_DISABLE_TELEMETRY: '1' },
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.output = (this.output + text).slice(-outputTail);
    });
    this.child.once('message', () => {
      this.readySince = performance.now();
    });
    // Pending calls of `run` report this error.
    this.child.on('error', () => undefined);
  }

  /** True if the process has exited or is disconnected, so that it can't run tasks. */
  public get isGone(): boolean {
    const { pid, exitCode, signalCode, connected } = this.child;
    return pid === undefined || exitCode !== null || signalCode !== null || !connected;
  }

  /** True if the child has started the most recent task. */
  public get hasBegun(): boolean {
    return this.isTaskBegun;
  }

  public end(): void {
    this.child.kill('SIGKILL');
  }

  /** Lets this process exit while the child is idle. */
  public unref(): void {
    this.child.unref();
    this.child.channel?.unref();
    (this.child.stderr as Socket | null)?.unref();
  }

  /**
   * Runs one task; only one may run at a time.
   * @param seconds time limit once the child is ready; the child is killed after it
   * @throws WorkerLostError if the child exits without an answer; otherwise the error that the task threw
   */
  public async run(task: unknown, job: TaskJob, seconds = Infinity): Promise<unknown> {
    const { child } = this;
    const send = (order: Order): void => {
      // If the child has exited, the exit handler reports it.
      child.send(order, () => undefined);
    };
    this.isTaskBegun = false;
    const started = performance.now();
    let cancelledAt: number | undefined;
    const timer = setInterval(() => {
      const since = Math.max(started, this.readySince ?? started + startMilliseconds);
      if (performance.now() - since > 1000 * seconds) {
        this.end();
      }
      if (job.cancellation.isCancellationRequested) {
        if (cancelledAt === undefined) {
          cancelledAt = performance.now();
          send({ kind: 'cancel' });
        } else if (performance.now() - cancelledAt > graceMilliseconds) {
          this.end();
        }
      }
    }, tickMilliseconds);
    let stopListening = (): void => undefined;
    try {
      return await new Promise((resolve, reject) => {
        const onMessage = (message: unknown): void => {
          const report = message as Report;
          if (report.kind === 'progress') {
            job.progress(report.progress);
          } else if (report.kind === 'begun') {
            this.isTaskBegun = true;
          } else if (report.kind === 'result') {
            resolve(report.result);
          } else if (report.kind !== 'ready') {
            reject(toError(report));
          }
        };
        const onError = (error: Error): void => {
          reject(new WorkerLostError(`It could not be started: ${error.message}.`));
        };
        const onClose = (code: number | null, signal: string | null): void => {
          const lines = this.output.trim().split('\n');
          const lastLine = lines.at(-1) ?? '';
          const how = `It ended with ${signal ?? `exit code ${code}`}.${lastLine === '' ? '' : ` ${lastLine}`}`;
          const log = lines.length > 1 ? lines.slice(-maxLogLines) : [];
          reject(cancelledAt === undefined ? new WorkerLostError(how, log) : new CancelledError());
        };
        child.on('message', onMessage).on('error', onError).on('close', onClose);
        stopListening = () => {
          child.off('message', onMessage).off('error', onError).off('close', onClose);
        };
        send({ kind: 'start', task });
      });
    } finally {
      clearInterval(timer);
      stopListening();
    }
  }
}

function toError(
  report: Exclude<Report, { kind: 'ready' | 'begun' | 'progress' | 'result' }>,
): Error {
  switch (report.kind) {
    case 'cancelled':
      return new CancelledError();
    case 'user error':
      return new UserError(report.code, report.problem, report.subject);
    case 'failure':
      return new Error(report.text);
  }
}

/**
 * Runs the tasks that the parent process sends, one at a time, and sends back results, errors and progress. Exits with
 * the parent.
 */
export function serveTasks(run: (task: unknown, job: TaskJob) => Promise<unknown>): void {
  const send = (report: Report): void => {
    process.send?.(report);
  };
  let cancellation = { isCancellationRequested: false };
  let lastReport = 0;
  const progress = (state: StageProgress): void => {
    const now = performance.now();
    if (now - lastReport >= tickMilliseconds || state.done === state.total) {
      lastReport = now;
      send({ kind: 'progress', progress: state });
    }
  };
  process.on('message', (message) => {
    const order = message as Order;
    if (order.kind === 'cancel') {
      cancellation.isCancellationRequested = true;
      return;
    }
    cancellation = { isCancellationRequested: false };
    send({ kind: 'begun' });
    void run(order.task, { cancellation, progress }).then(
      (result) => {
        send({ kind: 'result', result });
      },
      (error: unknown) => {
        send(toReport(error));
      },
    );
  });
  send({ kind: 'ready' });
  endWithParent();
}

function toReport(error: unknown): Report {
  if (error instanceof CancelledError) {
    return { kind: 'cancelled' };
  }
  if (error instanceof UserError) {
    return { kind: 'user error', code: error.code, problem: error.problem, subject: error.subject };
  }
  return {
    kind: 'failure',
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}

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
