import type { BlockTerms, Slice } from './slices';

/** What was computed at once: a candidate's terms on a slice in one round. */
export interface TermRecord extends Slice {
  /** What the terms belong to: the search's round, or a baseline's. */
  readonly step: string;
  readonly candidate: string;
  readonly terms: BlockTerms;
}

/**
 * Terms computed so far. Replaying a journal fills it, so a resumed search takes the same decisions
 * from the same numbers without computing them again.
 */
export class TermMemo {
  private readonly known = new Map<string, BlockTerms>();

  public constructor(
    replayed: Iterable<TermRecord>,
    private readonly record: (records: readonly TermRecord[]) => Promise<void>,
  ) {
    for (const record of replayed) {
      this.known.set(keyOf(record.step, record.candidate, record), record.terms);
    }
  }

  public get(step: string, candidate: string, slice: Slice): BlockTerms | undefined {
    return this.known.get(keyOf(step, candidate, slice));
  }

  public async add(records: readonly TermRecord[]): Promise<void> {
    for (const record of records) {
      this.known.set(keyOf(record.step, record.candidate, record), record.terms);
    }
    await this.record(records);
  }
}

function keyOf(step: string, candidate: string, { sequence, from, to }: Slice): string {
  return `${step}|${candidate}|${sequence}|${from}|${to}`;
}
