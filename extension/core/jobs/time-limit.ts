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

/**
 * Runs a synchronous function and interrupts it after a time limit, even inside a regular expression. Ctrl-C also
 * interrupts it, then reaches the handlers of this process. Overhead: about 0.05 ms.
 * @throws TimeLimitError after the limit; CancelledError after Ctrl-C; otherwise the error of `run`
 */
export function withTimeLimit<T>(milliseconds: number, run: () => T): T {
  // node:vm only limits the time of scripts, including the functions that they call.
  context ??= createContext({});
  context['run'] = run;
  try {
    return script.runInContext(context, { timeout: milliseconds, breakOnSigint: true }) as T;
  } catch (error) {
    // Not tested with instanceof: the error may come from the script's realm.
    const code = (error as Partial<NodeJS.ErrnoException> | undefined)?.code;
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      throw new TimeLimitError(milliseconds);
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
