import * as v from 'valibot';
import { Journal, spentSchema, totalSpent } from '../jobs/journal';
import { vocabularies } from '../metrics/vocabulary-sums';
import { baselineStep } from './search';
import { SearchMemo } from './search-memo';
import type { SearchWork } from './search-work';
import { isDeepStrictEqual } from 'node:util';
import type { CalibrationSummary } from '../data/calibration';
import { parseLayerProfile } from './layer-profile-schema';
import type { LayerProfile } from './layer-profile';
import type { SearchSettings } from './options';
import type { FinishedSearch } from './search';
import { readSmallText } from '../regular-file';

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

/** Inputs that determine the result of a search. */
export interface SearchIdentity {
  readonly settings: SearchSettings;
  readonly modelFingerprint: string;
  readonly calibration: CalibrationSummary;
  /** Version of Espalier. */
  readonly version: string;
}

/**
 * Loads the search of the profile at `path` if it equals the one that `identity` asks to refine, so that it need not be
 * repeated. Undefined without a refinement, or if there is no such profile. Refined profiles are ignored, because they
 * don't include the cost of the search alone.
 */
export async function finishedSearch(
  path: string | undefined,
  identity: SearchIdentity,
): Promise<(FinishedSearch & Pick<LayerProfile, 'search'>) | undefined> {
  if (path === undefined || identity.settings.refine === undefined) {
    return undefined;
  }
  const profile = await profileAt(path);
  if (
    profile?.refinement !== undefined ||
    profile === undefined ||
    !isDeepStrictEqual(searchIdentity(identity), searchIn(profile))
  ) {
    return undefined;
  }
  const { candidates, rounds, stability, search } = profile;
  return { candidates, rounds, search, ...(stability && { stability }) };
}

function searchIn({ settings, model, calibration, versions }: LayerProfile): unknown {
  return searchIdentity({
    settings,
    modelFingerprint: model.fingerprint,
    calibration,
    version: versions.espalier,
  });
}

/** Identity as stored in a document, without settings that act after the search. */
function searchIdentity({ settings, ...rest }: SearchIdentity): unknown {
  const search = { ...rest, settings: { ...settings, refine: undefined, baselines: [] } };
  return JSON.parse(JSON.stringify(search));
}

async function profileAt(path: string): Promise<LayerProfile | undefined> {
  try {
    return parseLayerProfile(await readSmallText(path), path);
  } catch {
    return undefined;
  }
}
