import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import process from 'node:process';
import { CancelledError } from './job';
import type { JobContext, StageProgress } from './job';
import { UserError } from '../user-error';
import type { ErrorSubject } from '../user-error';
import { endWithParent } from './parent-watchdog';
import type { Message } from '../message';

/** What a task tells and asks while it runs. */
export type TaskJob = Pick<JobContext, 'cancellation' | 'progress'>;

/** Whoever did a task was gone before it was done. */
export class WorkerLostError extends Error {
  public override readonly name = 'WorkerLostError';

  /** @param log what it said last, where that is more than the message tells */
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
  | { readonly kind: 'user error'; readonly problem: Message; readonly subject: ErrorSubject }
  | { readonly kind: 'failure'; readonly text: string };

/** How often the cancellation is looked at, and progress is told. */
const tickMilliseconds = 100;
/** What a child gets to finish its step before it is killed. */
const graceMilliseconds = 10_000;
/** What a child gets to become ready, where its task may take only so long. */
const startMilliseconds = 60_000;
/** Last characters of the child's output that are told after a crash. */
const outputTail = 2000;
/** Last lines of it that are told with the rest of the log. */
const mostLogLines = 10;

/** How a child is started. */
export interface ChildOptions {
  /** Path of the bundle that it runs. */
  readonly script: string;
  /** Arguments of the script. */
  readonly args?: readonly string[];
  /** Most memory that its objects take, in MiB; it ends at more. */
  readonly heapMegabytes?: number;
}

/**
 * A process that does one task after the other, which `serveTasks` answers in. Tasks and results are plain data
 * or typed arrays.
 */
export class Child {
  private readonly child: ChildProcess;
  private output = '';
  private isTaskBegun = false;
  /** When it became ready; starting can take long on a busy machine. */
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
    // Whoever waits for a task hears of it.
    this.child.on('error', () => undefined);
  }

  /** Whether it is gone, and can do no task. */
  public get isGone(): boolean {
    const { pid, exitCode, signalCode, connected } = this.child;
    return pid === undefined || exitCode !== null || signalCode !== null || !connected;
  }

  /** Whether it has got the last task it was given. */
  public get hasBegun(): boolean {
    return this.isTaskBegun;
  }

  public end(): void {
    this.child.kill('SIGKILL');
  }

  /** Lets this process end while the child waits for a task. */
  public unref(): void {
    this.child.unref();
    this.child.channel?.unref();
    (this.child.stderr as Socket | null)?.unref();
  }

  /**
   * Does a task, while no other is done.
   * @param seconds longest that it may take once the child is ready; it is killed after
   * @throws WorkerLostError when the child ended without an answer; what the task threw otherwise
   */
  public async run(task: unknown, job: TaskJob, seconds = Infinity): Promise<unknown> {
    const { child } = this;
    const send = (order: Order): void => {
      // A child that is gone is noticed by its end.
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
            reject(errorOf(report));
          }
        };
        const onError = (error: Error): void => {
          reject(new WorkerLostError(`It could not be started: ${error.message}.`));
        };
        const onClose = (code: number | null, signal: string | null): void => {
          const lines = this.output.trim().split('\n');
          const told = lines.at(-1) ?? '';
          const how = `It ended with ${signal ?? `exit code ${code}`}.${told === '' ? '' : ` ${told}`}`;
          const log = lines.length > 1 ? lines.slice(-mostLogLines) : [];
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

function errorOf(
  report: Exclude<Report, { kind: 'ready' | 'begun' | 'progress' | 'result' }>,
): Error {
  switch (report.kind) {
    case 'cancelled':
      return new CancelledError();
    case 'user error':
      return new UserError(report.problem, report.subject);
    case 'failure':
      return new Error(report.text);
  }
}

/** Does the tasks that the parent of this process sends, one at a time, and tells what came of them; ends with it. */
export function serveTasks(run: (task: unknown, job: TaskJob) => Promise<unknown>): void {
  const send = (report: Report): void => {
    process.send?.(report);
  };
  let cancellation = { isCancellationRequested: false };
  let told = 0;
  const progress = (state: StageProgress): void => {
    const now = performance.now();
    if (now - told >= tickMilliseconds || state.done === state.total) {
      told = now;
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
        send(reportOf(error));
      },
    );
  });
  send({ kind: 'ready' });
  endWithParent();
}

function reportOf(error: unknown): Report {
  if (error instanceof CancelledError) {
    return { kind: 'cancelled' };
  }
  if (error instanceof UserError) {
    return { kind: 'user error', problem: error.problem, subject: error.subject };
  }
  return {
    kind: 'failure',
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}
