import process from 'node:process';
import { createContext, Script } from 'node:vm';
import type { Context } from 'node:vm';
import { CancelledError } from './job';

/** Thrown when a function exceeds its time limit. */
export class TimeLimitError extends Error {
  public override readonly name = 'TimeLimitError';

  public constructor(public readonly milliseconds: number) {
    super(`timed out after ${milliseconds / 1000} s`);
  }
}

const script = new Script('run()');
let context: Context | undefined;

/** Processor time that this process has used, in milliseconds. */
function processorMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Repeats work that stops after a time limit. If it used less than half of the limit as processor time, other programs
 * kept it from running: it starts again with twice the limit.
 * @param attempt work that starts from the beginning each time
 * @param isLate true if the limit stopped the work
 */
export function retryWhileBusy<T>(
  milliseconds: number,
  attempt: (milliseconds: number) => T,
  isLate: (result: T) => boolean,
): T {
  for (let limit = milliseconds; ; limit *= 2) {
    const before = processorMilliseconds();
    const result = attempt(limit);
    if (!isLate(result) || processorMilliseconds() - before >= milliseconds / 2) {
      return result;
    }
  }
}

/** Result of {@link runScript} if the time limit was exceeded. */
const late = Symbol('late');

/**
 * Runs a synchronous function and interrupts it after a time limit, even inside a regular expression. It is run again if
 * the machine was too busy to run it. Ctrl-C also interrupts it, then reaches the handlers of this process. Overhead:
 * about 0.05 ms.
 * @throws TimeLimitError after the limit; CancelledError after Ctrl-C; otherwise the error of `run`
 */
export function withTimeLimit<T>(milliseconds: number, run: () => T): T {
  const result = retryWhileBusy(
    milliseconds,
    (limit) => runScript(limit, run),
    (found) => found === late,
  );
  if (result === late) {
    throw new TimeLimitError(milliseconds);
  }
  return result;
}

function runScript<T>(milliseconds: number, run: () => T): T | typeof late {
  // node:vm only limits the time of scripts, including the functions that they call.
  context ??= createContext({});
  context['run'] = run;
  try {
    return script.runInContext(context, { timeout: milliseconds, breakOnSigint: true }) as T;
  } catch (error) {
    // Not tested with instanceof: the error may come from the script's realm.
    const code = (error as Partial<NodeJS.ErrnoException> | undefined)?.code;
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      return late;
    }
    if (code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') {
      // Node didn't pass the signal to this process's handlers.
      if (!process.emit('SIGINT', 'SIGINT')) {
        process.kill(process.pid, 'SIGINT');
      }
      throw new CancelledError();
    }
    throw error;
  } finally {
    context['run'] = undefined;
  }
}
