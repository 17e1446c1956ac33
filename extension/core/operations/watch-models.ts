import { fileStamp } from '../checkpoints/model-folder';
import { CancelledError } from '../jobs/job';
import type { OperationContext } from './operation';
import { UserError } from '../user-error';
import { say } from '../message';

/**
 * Interval at which files are checked. A job that reads two versions of a model as one wastes at
 * most this time.
 */
const lookMilliseconds = 1000;

/**
 * Runs a job, and stops it when a file of a model that it has opened changes: its numbers would describe neither state.
 * @throws UserError naming the file.
 */
export async function watchingModels<T>(
  context: OperationContext,
  run: (context: OperationContext) => Promise<T>,
): Promise<T> {
  const stamps = new Map<string, string>();
  let changed: string | undefined;
  const look = async (): Promise<void> => {
    for (const [file, stamp] of stamps) {
      if ((await fileStamp(file)) !== stamp) {
        changed ??= file;
      }
    }
  };
  const timer = setInterval(() => void look(), lookMilliseconds);
  const { environment, cancellation } = context;
  try {
    return await run({
      ...context,
      cancellation: {
        get isCancellationRequested() {
          return changed !== undefined || cancellation.isCancellationRequested;
        },
      },
      environment: {
        ...environment,
        open: async (path) => {
          const opened = await environment.open(path);
          for (const file of opened.files) {
            stamps.set(file, stamps.get(file) ?? (await fileStamp(file)));
          }
          return opened;
        },
      },
    });
  } catch (error) {
    // Errors of a job about a file that has changed are irrelevant.
    await look();
    throw changed === undefined ||
      (error instanceof CancelledError && cancellation.isCancellationRequested)
      ? error
      : new UserError('model-changed', say`The file changed while the job read it.`, {
          file: changed,
          remedy: say`Don't change the model while a job runs, and start the job again.`,
        });
  } finally {
    clearInterval(timer);
  }
}
