/** One computed term: a candidate's share of the distance on one sequence in one round. */
export interface TermRecord {
  /** What the term belongs to: the search's round, or a baseline's. */
  readonly step: string;
  readonly candidate: string;
  readonly sequence: number;
  readonly term: number;
}

/**
 * Terms computed so far. Replaying a journal fills it, so a resumed search takes the same decisions
 * from the same numbers without computing them again.
 */
export class TermMemo {
  private readonly terms = new Map<string, number>();

  public constructor(
    replayed: Iterable<TermRecord>,
    private readonly record: (records: readonly TermRecord[]) => Promise<void>,
  ) {
    for (const record of replayed) {
      this.terms.set(keyOf(record), record.term);
    }
  }

  public get(step: string, candidate: string, sequence: number): number | undefined {
    return this.terms.get(keyOf({ step, candidate, sequence }));
  }

  public async add(records: readonly TermRecord[]): Promise<void> {
    for (const record of records) {
      this.terms.set(keyOf(record), record.term);
    }
    await this.record(records);
  }
}

function keyOf(at: Omit<TermRecord, 'term'>): string {
  return `${at.step}|${at.candidate}|${at.sequence}`;
}
