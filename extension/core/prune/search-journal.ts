import * as v from 'valibot';
import { Journal, spentSchema, totalSpent } from '../jobs/journal';
import { vocabularies } from '../metrics/vocabulary-sums';
import { baselineStep } from './search';
import { SearchMemo } from './search-memo';
import type { SearchWork } from './search-work';

/** Sum or distance. JSON stores numbers that are not finite as null. */
const measured = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const entrySchema = v.variant('kind', [
  v.object({
    kind: v.literal('term'),
    step: v.string(),
    candidate: v.string(),
    vocabulary: v.picklist(vocabularies),
    sequence: v.number(),
    from: v.number(),
    to: v.number(),
    terms: v.pipe(v.array(measured), v.readonly()),
  }),
  v.object({
    kind: v.literal('prediction'),
    step: v.string(),
    distances: v.pipe(
      v.array(v.object({ candidate: v.string(), distance: measured })),
      v.readonly(),
    ),
  }),
  spentSchema,
]);
type Entry = v.InferOutput<typeof entrySchema>;

/** Computations of a search, stored in a journal. */
export class SearchJournal {
  readonly #before: ReturnType<typeof totalSpent>;

  private constructor(private readonly journal: Journal<Entry>) {
    this.#before = totalSpent(journal.replayed);
  }

  /** Opens the journal at `path` with the computations of an earlier run of the same job. */
  public static async open(path: string, identity: string): Promise<SearchJournal> {
    return new SearchJournal(await Journal.open(path, identity, parseEntry));
  }

  /** Time and work of earlier runs. */
  public get spentBefore(): { readonly seconds: number; readonly sublayerEvaluations: number } {
    return { seconds: this.#before.seconds, sublayerEvaluations: this.#before.evaluations };
  }

  /** Memo that replays the journal and appends to it. */
  public memo(work: SearchWork): SearchMemo {
    const started = performance.now();
    const replayed = this.journal.replayed.filter((entry) => entry.kind !== 'spent');
    return new SearchMemo(replayed, async (records) => {
      const seconds = (performance.now() - started) / 1000;
      const { evaluations } = work;
      const isSearch = records.some(({ step }) => !step.startsWith(baselineStep));
      const spent: Entry[] = isSearch
        ? [{ kind: 'spent', seconds, evaluations, run: this.#before.runs }]
        : [];
      await this.journal.append([...records, ...spent]);
    });
  }

  public async remove(): Promise<void> {
    await this.journal.remove();
  }

  public async removeIfEmpty(): Promise<void> {
    await this.journal.removeIfEmpty();
  }
}

function parseEntry(value: unknown): Entry | undefined {
  const result = v.safeParse(entrySchema, value);
  return result.success ? result.output : undefined;
}
