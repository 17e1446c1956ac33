import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import { say } from '../message';
import { UserError } from '../user-error';
import type { JobContext } from './job';
import { Journal } from './journal';

/** Values of one part of a job that are saved one after another, such as the loss sums of each text window. */
export interface SavedPart<Value> {
  /** Values that an earlier run saved. */
  readonly values: readonly Value[];
  readonly add: (values: readonly Value[]) => Promise<void>;
}

/** Named parts of a job that can be resumed. */
export interface SavedParts {
  /**
   * Declares the inputs that the values depend on, before any part is requested. Values saved for other inputs are
   * discarded.
   */
  readonly bind: (identity: unknown) => Promise<void>;
  readonly part: <Value>(name: string, schema: v.GenericSchema<unknown, Value>) => SavedPart<Value>;
  /** Path of a file next to the journal with this extension, removed with it; undefined if nothing is saved. */
  readonly beside: (ending: string) => string | undefined;
}

/** Stores nothing: for jobs that can't be resumed. */
export const nothingSaved: SavedParts = {
  bind: async () => Promise.resolve(),
  part: () => unsavedPart(),
  beside: () => undefined,
};

export const unsavedPart = <Value>(): SavedPart<Value> => ({
  values: [],
  add: async () => Promise.resolve(),
});

const entrySchema = v.object({ part: v.string(), values: v.array(v.unknown()) });
type Entry = v.InferOutput<typeof entrySchema>;

/** Path of a file that belongs to a journal. */
export const siblingFile = (journal: string, ending: string): string =>
  `${journal.replace(/\.jsonl$/, '')}.${ending}`;

/** Location and owner of a job's saved parts. */
interface Saving {
  /** Returns the path of the journal, in an existing folder. */
  readonly place: () => Promise<string>;
  /** Path of the result file; undefined if the job only returns its result. */
  readonly out: string | undefined;
  /** Version of Espalier. Other versions may measure differently. */
  readonly version: string;
}

/**
 * Runs a job that saves its parts in a journal until it has a result. If the journal can't be written and the job
 * writes no file, the job runs without it.
 * @throws UserError immediately if the result could not be written either.
 */
export async function resumable<T>(
  saving: Saving,
  context: Pick<JobContext, 'inform' | 'warn'>,
  run: (saved: SavedParts) => Promise<T>,
): Promise<T> {
  const saved = new JournaledParts(saving, context);
  try {
    const result = await run(saved);
    await saved.remove();
    return result;
  } finally {
    await saved.journal?.removeIfEmpty();
  }
}

class JournaledParts implements SavedParts {
  public journal: Journal<Entry> | undefined;
  private readonly files: string[] = [];

  public constructor(
    private readonly saving: Saving,
    private readonly context: Pick<JobContext, 'inform' | 'warn'>,
  ) {}

  public async bind(identity: unknown): Promise<void> {
    const { place, version } = this.saving;
    const key = createHash('sha256')
      .update(JSON.stringify([version, identity]))
      .digest('hex');
    await this.#orUnsaved(async () => {
      this.journal = await Journal.open(await place(), key, (value) =>
        v.is(entrySchema, value) ? value : undefined,
      );
    });
    if ((this.journal?.replayed.length ?? 0) > 0) {
      this.context.inform(say`Continues where an earlier run stopped.`);
    }
  }

  public part<Value>(name: string, schema: v.GenericSchema<unknown, Value>): SavedPart<Value> {
    const values: Value[] = [];
    for (const entry of this.journal?.replayed ?? []) {
      if (entry.part === name) {
        const parsed = v.safeParse(v.array(schema), entry.values);
        if (!parsed.success) {
          break;
        }
        values.push(...parsed.output);
      }
    }
    return {
      values,
      add: async (more) =>
        this.#orUnsaved(async () => this.journal?.append([{ part: name, values: [...more] }])),
    };
  }

  public beside(ending: string): string | undefined {
    const file = this.journal && siblingFile(this.journal.path, ending);
    this.files.push(...(file === undefined ? [] : [file]));
    return file;
  }

  public async remove(): Promise<void> {
    await this.journal?.remove();
    await Promise.all(this.files.map(async (file) => rm(file, { force: true })));
  }

  /** Continues without a journal that can't be written, unless the result could not be written either. */
  async #orUnsaved(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (this.saving.out !== undefined) {
        throw error;
      }
      this.journal = undefined;
      const why = error instanceof UserError ? error.problem : (error as Error).message;
      this.context.warn(say`Progress is not saved: ${why}`);
    }
  }
}
