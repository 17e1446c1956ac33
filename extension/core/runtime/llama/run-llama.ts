import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../../jobs/child-task';
import type { TaskJob } from '../../jobs/child-task';
import { CancelledError, unattended } from '../../jobs/job';
import { say, verbatim } from '../../message';
import { UserError } from '../../user-error';
import type { LlamaInstallation } from './installation';
import type {
  ContinueTask,
  LlamaContinuation,
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
  installed: Installed,
  job: TaskJob,
): Promise<LlamaDescription> => perform(installed, { kind: 'describe' }, job);

/** Runs tokens through a GGUF file. @throws LlamaError */
export const predictWithLlama = async (
  installed: Installed,
  task: Omit<PredictTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaPredictions> => perform(installed, { ...task, kind: 'predict' }, job);

/** Times prefill and decode of a GGUF file. @throws LlamaError */
export const timeWithLlama = async (
  installed: Installed,
  task: Omit<TimeTask, 'kind' | 'addon'>,
  job: TaskJob,
): Promise<LlamaSpeed> => perform(installed, { ...task, kind: 'time' }, job);

/** A GGUF file that stays open in a process of its own, and the text that it has read. */
export class LlamaText {
  readonly #installed: Installed;
  readonly #model: string;
  #child: Child | undefined;
  #known = 0;

  public constructor(installed: Installed, model: string) {
    this.#installed = installed;
    this.#model = model;
  }

  /** Number of leading tokens of the last text that don't have to be read again. */
  public get known(): number {
    return this.#known;
  }

  /**
   * Prefills a text whose first tokens may be cached.
   * @param known number of leading ids already in the cache: {@link known}, or 0
   * @throws LlamaError
   */
  public async read(
    task: Pick<ContinueTask, 'ids' | 'known' | 'contextSize'>,
  ): Promise<LlamaContinuation> {
    const { folder, addon } = this.#installed;
    this.#child ??= startChild();
    this.#known = 0;
    const names = { kind: 'continue', addon: join(folder, addon), model: this.#model } as const;
    try {
      const answer = await ask<LlamaContinuation>(this.#child, { ...names, ...task }, unattended);
      this.#known = task.ids.length;
      return answer;
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  public dispose(): void {
    this.#child?.end();
    this.#child = undefined;
  }
}

type WithoutAddon<Task> = Task extends unknown ? Omit<Task, 'addon'> : never;

/** Performs a task in a separate process. Any failure of llama.cpp is a {@link LlamaError}. */
async function perform<T extends object>(
  { folder, addon }: Installed,
  task: WithoutAddon<LlamaTask>,
  job: TaskJob,
): Promise<T> {
  const child = startChild();
  try {
    return await ask(child, { ...task, addon: join(folder, addon) }, job);
  } finally {
    child.end();
  }
}

function startChild(): Child {
  // Next to this bundle; in dist/ if the sources are run.
  const script = ['.', '../../../../dist']
    .map((folder) => join(import.meta.dirname, folder, 'llama.js'))
    .find((path) => existsSync(path));
  if (script === undefined) {
    throw new Error('llama.js is not built');
  }
  return new Child({ script });
}

async function ask<T extends object>(child: Child, task: LlamaTask, job: TaskJob): Promise<T> {
  const file = 'model' in task ? task.model : undefined;
  const answer = await child.run(task, job, mostSeconds).catch((error: unknown) => {
    if (error instanceof CancelledError) {
      throw error;
    }
    const [line = ''] = (error as Error).message.split('\n');
    throw new LlamaError(withoutStop(line), file);
  });
  const found = answer as T | LlamaRefusal;
  if ('refusal' in found) {
    throw new LlamaError(withoutStop(found.refusal), file);
  }
  return found;
}

const withoutStop = (text: string): string => text.replace(/\.$/, '');
