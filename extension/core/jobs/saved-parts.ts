import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import { say } from '../message';
import { UserError } from '../user-error';
import type { JobContext } from './job';
import { Journal } from './journal';

/** What is found of one part of a job, value by value, such as the sums of each window of a text. */
export interface SavedPart<Value> {
  /** What an earlier run has found: the first ones. */
  readonly values: readonly Value[];
  readonly add: (values: readonly Value[]) => Promise<void>;
}

/** Parts of a job, by their names. */
export interface SavedParts {
  /** Says what the values depend on, before a part is asked for: those of another job are not taken. */
  readonly bind: (identity: unknown) => Promise<void>;
  readonly part: <Value>(name: string, schema: v.GenericSchema<unknown, Value>) => SavedPart<Value>;
  /** A file beside the journal, which goes with it, by what its name ends in; undefined where nothing is saved. */
  readonly beside: (ending: string) => string | undefined;
}

/** Where nothing is saved. */
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

/** A file that goes with a journal. */
export const fileBeside = (journal: string, ending: string): string =>
  `${journal.replace(/\.jsonl$/, '')}.${ending}`;

/** Where a job saves its parts, and for whom. */
interface Saving {
  /** Gives the journal's path, in a folder that is there. */
  readonly place: () => Promise<string>;
  /** The file of the result; undefined where the job only returns it. */
  readonly out: string | undefined;
  /** Of Espalier, whose other versions may measure otherwise. */
  readonly version: string;
}

/**
 * Runs a job whose parts are saved in a journal until it has a result. A job that writes no file runs without one that
 * can't be written.
 * @throws UserError at once where a result could not be written either.
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
    const file = this.journal && fileBeside(this.journal.path, ending);
    this.files.push(...(file === undefined ? [] : [file]));
    return file;
  }

  public async remove(): Promise<void> {
    await this.journal?.remove();
    await Promise.all(this.files.map(async (file) => rm(file, { force: true })));
  }

  /** Goes on without a journal that can't be written, unless the result could not be written either. */
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
