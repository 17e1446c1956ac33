import { metrics } from '../../../extension/core/metrics/metrics';
import { sumTermsByBlock } from '../../../extension/core/metrics/slices';
import type { BlockTerms, Slice } from '../../../extension/core/metrics/slices';
import type { Vocabulary } from '../../../extension/core/metrics/vocabulary-sums';
import type { Candidate } from '../../../extension/core/prune/candidates';
import type { RoundInput } from '../../../extension/core/prune/rounds';
import type { Scorer } from '../../../extension/core/prune/scorer';

const rowsPerSequence = 32;

/** A term of every row of each sequence, by candidate id. */
export type Table = Readonly<Record<string, readonly number[]>>;

/** Recorded requests. */
interface Asked {
  readonly id: string;
  readonly sequence: number;
  readonly vocabulary: Vocabulary;
}

/** Tells terms from tables, a little different from row to row. */
export class TableScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly candidatesPerPass = 4;
  public readonly asked: Asked[] = [];

  public constructor(
    private readonly terms_: Table,
    /** Others than those, by what they are over. */
    private readonly others: Readonly<Partial<Record<Vocabulary, Table>>> = {},
  ) {}

  public get hasBounds(): boolean {
    return this.others.bounded !== undefined;
  }

  public async start(): Promise<never> {
    return Promise.reject(new Error('nothing is run'));
  }

  public startFrom(): void {
    // Nothing is run.
  }

  public rows(): Promise<number> {
    return Promise.resolve(rowsPerSequence);
  }

  public terms(
    _step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    vocabulary: Vocabulary,
  ): Promise<BlockTerms[][]> {
    const table = this.others[vocabulary] ?? this.terms_;
    return Promise.resolve(
      candidates.map(({ id, first }) =>
        slices.map(({ sequence, from, to }) => {
          this.asked.push({ id, sequence, vocabulary });
          const term = table[id]?.[sequence] ?? 0;
          return sumTermsByBlock(
            Float32Array.from(
              { length: to - from },
              (_, row) => term * (1 + 0.1 * Math.sin(row + first)),
            ),
          );
        }),
      ),
    );
  }

  public commit(): void {
    // One round is decided.
  }

  public forget(): void {
    // Nothing is kept.
  }

  public end(): void {
    // Nothing is kept.
  }
}

/** A round among the candidates of a table. */
export function makeInput(scorer: Scorer, table: Table): RoundInput {
  const sequences = Object.values(table)[0]?.length ?? 0;
  return {
    ...{ scorer, metric: metrics.js, step: 'round.2', expected: new Map() },
    candidates: Object.keys(table).map((id, first) => ({ id, first, members: [first] })),
    isEligible: () => true,
    rows: Array.from({ length: sequences }, () => rowsPerSequence),
    onDistance: () => undefined,
  };
}
