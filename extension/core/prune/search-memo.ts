import type { BlockTerms, Slice } from '../metrics/slices';
import type { Vocabulary } from '../metrics/vocabulary-sums';

/** Result of one computation: a candidate's terms on a slice in one round. */
export interface TermRecord extends Slice {
  readonly kind: 'term';
  /** Step of the search or of a baseline. */
  readonly step: string;
  readonly candidate: string;
  readonly vocabulary: Vocabulary;
  readonly terms: BlockTerms;
}

/** Surrogate predictions for all eligible candidates in one round. */
export interface PredictionRecord {
  readonly kind: 'prediction';
  readonly step: string;
  readonly distances: readonly { readonly candidate: string; readonly distance: number }[];
}

export type SearchRecord = TermRecord | PredictionRecord;

/**
 * Results of a search's computations. Replaying a journal fills it, so that a resumed search makes the same decisions
 * without computing them again.
 */
export class SearchMemo {
  private readonly terms = new Map<string, TermRecord>();
  private readonly predictions = new Map<string, PredictionRecord['distances']>();

  public constructor(
    replayed: Iterable<SearchRecord>,
    private readonly record: (records: readonly SearchRecord[]) => Promise<void>,
  ) {
    for (const record of replayed) {
      this.keep(record);
    }
  }

  public get(
    step: string,
    candidate: string,
    vocabulary: Vocabulary,
    slice: Slice,
  ): BlockTerms | undefined {
    return this.terms.get(recordKey(step, candidate, vocabulary, slice))?.terms;
  }

  /** Terms of one step. */
  public stepTerms(step: string): readonly TermRecord[] {
    return [...this.terms.values()].filter((record) => record.step === step);
  }

  /** Predicted distances of a round, by candidate id. */
  public predicted(step: string): ReadonlyMap<string, number> | undefined {
    const found = this.predictions.get(step);
    return found && new Map(found.map(({ candidate, distance }) => [candidate, distance]));
  }

  public async add(records: readonly SearchRecord[]): Promise<void> {
    records.forEach((record) => {
      this.keep(record);
    });
    await this.record(records);
  }

  /** Removes all records. */
  public clear(): void {
    this.terms.clear();
    this.predictions.clear();
  }

  private keep(record: SearchRecord): void {
    if (record.kind === 'term') {
      const { step, candidate, vocabulary } = record;
      this.terms.set(recordKey(step, candidate, vocabulary, record), record);
    } else {
      this.predictions.set(record.step, record.distances);
    }
  }
}

function recordKey(
  step: string,
  candidate: string,
  vocabulary: Vocabulary,
  { sequence, from, to }: Slice,
): string {
  return `${step}|${candidate}|${vocabulary}|${sequence}|${from}|${to}`;
}
