import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Child, WorkerLostError } from '../../jobs/child-task';
import type { TaskJob } from '../../jobs/child-task';
import { say, verbatim } from '../../message';
import { UserError } from '../../user-error';
import type { LlamaInstallation } from './installation';
import type {
  LlamaDescription,
  LlamaPredictions,
  LlamaSpeed,
  LlamaTask,
  PredictTask,
  TimeTask,
} from './perform-task';

/** Longest time to load the addon, in seconds. */
const describeSeconds = 60;

type Installed = Pick<LlamaInstallation, 'folder' | 'addon'>;

/** @throws UserError if llama.cpp doesn't load on this machine. */
export async function describeLlama(
  { folder, addon }: Installed,
  job: TaskJob,
): Promise<LlamaDescription> {
  const task = { kind: 'describe', addon: join(folder, addon) } as const;
  try {
    return (await perform(task, job, describeSeconds)) as LlamaDescription;
  } catch (error) {
    if (error instanceof Error && error.name === 'Error') {
      throw lost(undefined, error.message.split('\n')[0] ?? '');
    }
    throw error;
  }
}

/**
 * Runs tokens through a GGUF file.
 * @throws UserError naming the file if llama.cpp refuses it or ends.
 */
export const predictWithLlama = async (
  { folder, addon }: Installed,
  task: Omit<PredictTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaPredictions> =>
  (await perform(
    { ...task, kind: 'predict', addon: join(folder, addon) },
    job,
  )) as LlamaPredictions;

/**
 * Times prefill and decode of a GGUF file.
 * @throws UserError naming the file if llama.cpp refuses it or ends.
 */
export const timeWithLlama = async (
  { folder, addon }: Installed,
  task: Omit<TimeTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaSpeed> =>
  (await perform({ ...task, kind: 'time', addon: join(folder, addon) }, job)) as LlamaSpeed;

async function perform(task: LlamaTask, job: TaskJob, seconds?: number): Promise<unknown> {
  // Next to this bundle; in dist/ if the sources are run.
  const script = ['.', '../../../../dist']
    .map((folder) => join(import.meta.dirname, folder, 'llama.js'))
    .find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('llama.js is not built');
  }
  const child = new Child({ script });
  try {
    return await child.run(task, job, seconds);
  } catch (error) {
    throw error instanceof WorkerLostError
      ? lost('model' in task ? task.model : undefined, error.message)
      : error;
  } finally {
    child.end();
  }
}

const lost = (file: string | undefined, reason: string): UserError =>
  new UserError(say`llama.cpp ended: ${verbatim(reason.replace(/\.$/, ''))}.`, {
    ...(file === undefined ? {} : { file }),
    remedy: undefined,
  });
