import { fork } from 'node:child_process';
import process from 'node:process';
import { CancelledError } from './job';
import type { JobContext, StageProgress } from './job';
import { UserError } from '../user-error';
import type { ErrorSubject } from '../user-error';
import { endWithParent } from './parent-watchdog';
import type { Message } from '../message';

/** What a task tells and asks while it runs. */
export type TaskJob = Pick<JobContext, 'cancellation' | 'progress'>;

/** A child was gone before its task was done. */
export class ChildEndedError extends Error {
  public override readonly name = 'ChildEndedError';
}

type Order = { readonly kind: 'start'; readonly task: unknown } | { readonly kind: 'cancel' };

type Report =
  | { readonly kind: 'progress'; readonly progress: StageProgress }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'user error'; readonly problem: Message; readonly subject: ErrorSubject }
  | { readonly kind: 'failure'; readonly text: string };

/** How often the cancellation is looked at, and progress is told. */
const tickMilliseconds = 100;
/** What a child gets to finish its step before it is killed. */
const graceMilliseconds = 10_000;
/** Last characters of the child's output that are told after a crash. */
const outputTail = 2000;

/** How a child is started. */
export interface ChildOptions {
  /** Path of the bundle that it runs. */
  readonly script: string;
  /** Most memory that its objects take, in MiB; it ends at more. */
  readonly heapMegabytes?: number;
  /** Longest that it may take; it is killed after. */
  readonly seconds?: number;
}

/**
 * Runs a task in a process of its own, which `serveTask` answers in; the task and its result are plain data
 * or typed arrays. The child is gone afterwards.
 * @throws ChildEndedError when the child ended without an answer; what the task threw otherwise
 */
export async function runInChild(
  { script, heapMegabytes, seconds = Infinity }: ChildOptions,
  task: unknown,
  job: TaskJob,
): Promise<unknown> {
  const child = fork(script, [], {
    execArgv: heapMegabytes === undefined ? [] : [`--max-old-space-size=${heapMegabytes}`],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', ORT_DISABLE_TELEMETRY: '1' },
  });
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputTail);
  });
  const send = (order: Order): void => {
    // A child that is gone is noticed by its end.
    child.send(order, () => undefined);
  };
  const started = performance.now();
  let cancelledAt: number | undefined;
  const timer = setInterval(() => {
    if (performance.now() - started > 1000 * seconds) {
      child.kill('SIGKILL');
    }
    if (job.cancellation.isCancellationRequested) {
      if (cancelledAt === undefined) {
        cancelledAt = performance.now();
        send({ kind: 'cancel' });
      } else if (performance.now() - cancelledAt > graceMilliseconds) {
        child.kill('SIGKILL');
      }
    }
  }, tickMilliseconds);
  try {
    return await new Promise((resolve, reject) => {
      child.on('message', (message) => {
        const report = message as Report;
        if (report.kind === 'progress') {
          job.progress(report.progress);
        } else if (report.kind === 'result') {
          resolve(report.result);
        } else {
          reject(errorOf(report));
        }
      });
      child.once('error', (error) => {
        reject(new ChildEndedError(`It could not be started: ${error.message}.`));
      });
      child.once('close', (code, signal) => {
        const told = output.trim().split('\n').at(-1) ?? '';
        const how = `It ended with ${signal ?? `exit code ${code}`}.${told === '' ? '' : ` ${told}`}`;
        reject(cancelledAt === undefined ? new ChildEndedError(how) : new CancelledError());
      });
      send({ kind: 'start', task });
    });
  } finally {
    clearInterval(timer);
    child.kill('SIGKILL');
  }
}

function errorOf(report: Exclude<Report, { kind: 'progress' } | { kind: 'result' }>): Error {
  switch (report.kind) {
    case 'cancelled':
      return new CancelledError();
    case 'user error':
      return new UserError(report.problem, report.subject);
    case 'failure':
      return new Error(report.text);
  }
}

/** Runs the one task that the parent of this process sends, and tells it what came of it; ends with the parent. */
export function serveTask(run: (task: unknown, job: TaskJob) => Promise<unknown>): void {
  const send = (report: Report): void => {
    process.send?.(report);
  };
  const cancellation = { isCancellationRequested: false };
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
    void run(order.task, { cancellation, progress }).then(
      (result) => {
        send({ kind: 'result', result });
      },
      (error: unknown) => {
        send(reportOf(error));
      },
    );
  });
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
