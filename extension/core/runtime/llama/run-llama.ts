import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../../jobs/child-task';
import type { TaskJob } from '../../jobs/child-task';
import { CancelledError } from '../../jobs/job';
import { say, verbatim } from '../../message';
import { UserError } from '../../user-error';
import type { LlamaInstallation } from './installation';
import type {
  LlamaDescription,
  LlamaPredictions,
  LlamaRefusal,
  LlamaSpeed,
  LlamaTask,
  PredictTask,
  TimeTask,
} from './perform-task';

/** Longest time of a task, in seconds. */
const mostSeconds = 600;

/** llama.cpp doesn't load, refuses a file, or ended. */
export class LlamaError extends UserError {
  public constructor(
    /** Last words of llama.cpp or of its process, without a full stop. */
    public readonly reason: string,
    file: string | undefined,
  ) {
    super('llama-failed', say`llama.cpp can't run it: ${verbatim(reason)}.`, {
      ...(file === undefined ? {} : { file }),
      remedy: undefined,
    });
  }
}

type Installed = Pick<LlamaInstallation, 'folder' | 'addon'>;

/** @throws LlamaError if llama.cpp doesn't load on this machine. */
export const describeLlama = async (
  { folder, addon }: Installed,
  job: TaskJob,
): Promise<LlamaDescription> =>
  perform<LlamaDescription>({ kind: 'describe', addon: join(folder, addon) }, job);

/** Runs tokens through a GGUF file. @throws LlamaError */
export const predictWithLlama = async (
  { folder, addon }: Installed,
  task: Omit<PredictTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaPredictions> =>
  perform<LlamaPredictions>({ ...task, kind: 'predict', addon: join(folder, addon) }, job);

/** Times prefill and decode of a GGUF file. @throws LlamaError */
export const timeWithLlama = async (
  { folder, addon }: Installed,
  task: Omit<TimeTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaSpeed> =>
  perform<LlamaSpeed>({ ...task, kind: 'time', addon: join(folder, addon) }, job);

/** Performs a task in a separate process. Any failure of llama.cpp is a {@link LlamaError}. */
async function perform<T extends object>(task: LlamaTask, job: TaskJob): Promise<T> {
  // Next to this bundle; in dist/ if the sources are run.
  const script = ['.', '../../../../dist']
    .map((folder) => join(import.meta.dirname, folder, 'llama.js'))
    .find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('llama.js is not built');
  }
  const file = 'model' in task ? task.model : undefined;
  const child = new Child({ script });
  const answer = await child
    .run(task, job, mostSeconds)
    .catch((error: unknown) => {
      if (error instanceof CancelledError) {
        throw error;
      }
      const [line = ''] = (error as Error).message.split('\n');
      throw new LlamaError(withoutStop(line), file);
    })
    .finally(() => {
      child.end();
    });
  const found = answer as T | LlamaRefusal;
  if ('refusal' in found) {
    throw new LlamaError(withoutStop(found.refusal), file);
  }
  return found;
}

const withoutStop = (text: string): string => text.replace(/\.$/, '');
