import * as v from 'valibot';
import { Journal, spentSchema, totalSpent } from '../../jobs/journal';
import type { Spent } from '../../jobs/journal';
import type { Compression } from '../compression-choice';
import { matrixKey } from './chosen-matrices';
import type {
  RunTimes,
  SensitivityEntry,
  SensitivityProfile,
  WidthSensitivity,
} from './sensitivity-profile';
import {
  runTimesSchema,
  sensitivityEntrySchema,
  widthSensitivitySchema,
} from './sensitivity-profile-schema';

const entrySchema = v.variant('kind', [
  v.object({ kind: v.literal('layer'), tensor: v.string(), entry: sensitivityEntrySchema }),
  v.object({ kind: v.literal('width'), width: widthSensitivitySchema }),
  v.object({ kind: v.literal('runs'), runs: runTimesSchema }),
  spentSchema,
]);
/** Entry of the journal. */
type Entry =
  | { readonly kind: 'layer'; readonly tensor: string; readonly entry: SensitivityEntry }
  | { readonly kind: 'width'; readonly width: WidthSensitivity }
  | { readonly kind: 'runs'; readonly runs: RunTimes }
  | Spent;

/** Measurements of a sensitivity profile, stored in a journal. */
export class Measurements {
  /** Sublayer evaluations of this run. */
  public evaluations = 0;
  readonly #entries = new Map<string, SensitivityEntry>();
  readonly #widths = new Map<string, WidthSensitivity>();
  readonly #started = performance.now();
  readonly #before: ReturnType<typeof totalSpent>;
  #runs: RunTimes | undefined;

  private constructor(private readonly journal: Journal<Entry>) {
    this.#before = totalSpent(journal.replayed);
    for (const entry of journal.replayed) {
      this.#add(entry);
    }
  }

  /** Opens the journal at `path` with the measurements of an earlier run of the same job. */
  public static async open(path: string, identity: string): Promise<Measurements> {
    return new Measurements(await Journal.open(path, identity, parseEntry));
  }

  /** Compressions of matrices, by {@link matrixKey}. */
  public get entries(): ReadonlyMap<string, SensitivityEntry> {
    return this.#entries;
  }

  /** Sublayers that were width-pruned, by id. */
  public get widths(): ReadonlyMap<string, WidthSensitivity> {
    return this.#widths;
  }

  /** Times of whole models. */
  public get runs(): RunTimes | undefined {
    return this.#runs;
  }

  public get count(): number {
    return [...this.#widths.values()].reduce(
      (sum, { entries }) => sum + entries.length,
      this.#entries.size,
    );
  }

  /** Seconds and sublayer evaluations of all runs of the job. */
  public get spent(): Pick<SensitivityProfile, 'seconds' | 'sublayerEvaluations'> {
    return {
      seconds: this.#before.seconds + this.#seconds,
      sublayerEvaluations: this.#before.evaluations + this.evaluations,
    };
  }

  public hasAll(tensor: string, compressions: readonly Compression[]): boolean {
    return compressions.every((one) => this.#entries.has(matrixKey(tensor, one)));
  }

  /** Adds the measurements of a part. */
  public async add(
    tensor: string,
    measured: readonly SensitivityEntry[],
    width: WidthSensitivity | undefined,
  ): Promise<void> {
    const spent = { seconds: this.#seconds, evaluations: this.evaluations };
    await this.#append([
      ...measured.map((entry) => ({ kind: 'layer', tensor, entry }) as const),
      ...(width === undefined ? [] : [{ kind: 'width', width } as const]),
      { kind: 'spent', run: this.#before.runs, ...spent },
    ]);
  }

  public async addRuns(runs: RunTimes | undefined): Promise<void> {
    await this.#append(runs === undefined ? [] : [{ kind: 'runs', runs }]);
  }

  /** Removes the journal. */
  public async remove(): Promise<void> {
    await this.journal.remove();
  }

  public async removeIfEmpty(): Promise<void> {
    await this.journal.removeIfEmpty();
  }

  async #append(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      this.#add(entry);
    }
    await this.journal.append(entries);
  }

  #add(entry: Entry): void {
    if (entry.kind === 'layer') {
      this.#entries.set(matrixKey(entry.tensor, entry.entry), entry.entry);
    } else if (entry.kind === 'width') {
      this.#widths.set(entry.width.sublayer, entry.width);
    } else if (entry.kind === 'runs') {
      this.#runs = entry.runs;
    }
  }

  get #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}

function parseEntry(value: unknown): Entry | undefined {
  const result = v.safeParse(entrySchema, value);
  return result.success ? (result.output as Entry) : undefined;
}
