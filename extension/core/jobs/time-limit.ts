import process from 'node:process';
import { createContext, Script } from 'node:vm';
import type { Context } from 'node:vm';
import { CancelledError } from './job';

/** Thrown out of a function that computed for longer than allowed. */
export class TimeLimitError extends Error {
  public override readonly name = 'TimeLimitError';

  public constructor(public readonly milliseconds: number) {
    super(`timed out after ${milliseconds / 1000} s`);
  }
}

const script = new Script('run()');
let context: Context | undefined;

/**
 * Runs a function that doesn't return to the event loop, and ends it after some time, even inside a regular
 * expression. Ctrl-C ends it too, and then reaches the handlers of this process. Costs about 0.05 ms.
 * @throws TimeLimitError after the limit; CancelledError after Ctrl-C; otherwise what `run` throws
 */
export function withTimeLimit<T>(milliseconds: number, run: () => T): T {
  // Only scripts have a time limit, which also holds for the functions that they call.
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
      // Node kept the signal from the handlers of this process.
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
