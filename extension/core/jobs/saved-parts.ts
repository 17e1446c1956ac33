import { createHash } from 'node:crypto';
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
}

/** Where nothing is saved. */
export const nothingSaved: SavedParts = {
  bind: async () => Promise.resolve(),
  part: () => unsavedPart(),
};

export const unsavedPart = <Value>(): SavedPart<Value> => ({
  values: [],
  add: async () => Promise.resolve(),
});

const entrySchema = v.object({ part: v.string(), values: v.array(v.unknown()) });
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Runs a job whose parts are saved in a journal until it has a result. One that can't be written is no reason not to
 * run.
 * @param place gives the journal's path, in a folder that is there
 * @param version of Espalier, whose other versions may measure otherwise
 */
export async function resumable<T>(
  place: () => Promise<string>,
  version: string,
  context: Pick<JobContext, 'inform'>,
  run: (saved: SavedParts) => Promise<T>,
): Promise<T> {
  const saved = new JournaledParts(place, version, context);
  try {
    const result = await run(saved);
    await saved.journal?.remove();
    return result;
  } finally {
    await saved.journal?.removeIfEmpty();
  }
}

class JournaledParts implements SavedParts {
  public journal: Journal<Entry> | undefined;

  public constructor(
    private readonly place: () => Promise<string>,
    private readonly version: string,
    private readonly context: Pick<JobContext, 'inform'>,
  ) {}

  public async bind(identity: unknown): Promise<void> {
    const { place, version, context } = this;
    const key = createHash('sha256')
      .update(JSON.stringify([version, identity]))
      .digest('hex');
    try {
      this.journal = await Journal.open(await place(), key, (value) =>
        v.is(entrySchema, value) ? value : undefined,
      );
    } catch (error) {
      const why = error instanceof UserError ? error.problem : (error as Error).message;
      context.inform(say`Progress is not saved: ${why}`);
      return;
    }
    if (this.journal.replayed.length > 0) {
      context.inform(say`Continues where an earlier run stopped.`);
    }
  }

  public part<Value>(name: string, schema: v.GenericSchema<unknown, Value>): SavedPart<Value> {
    const { journal } = this;
    const values: Value[] = [];
    for (const entry of journal?.replayed ?? []) {
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
      add: async (more) => journal?.append([{ part: name, values: [...more] }]),
    };
  }
}
