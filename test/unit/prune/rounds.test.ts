import { describe, expect, it } from 'vitest';
import { metrics } from '../../../extension/core/metrics/metrics';
import { blockTerms } from '../../../extension/core/metrics/slices';
import type { BlockTerms, Slice } from '../../../extension/core/metrics/slices';
import type { Vocabulary } from '../../../extension/core/metrics/vocabulary';
import type { Candidate } from '../../../extension/core/prune/candidates';
import { everyDistance, lazy, race } from '../../../extension/core/prune/rounds';
import type { RoundResult, Strategy } from '../../../extension/core/prune/rounds';
import type { Scorer } from '../../../extension/core/prune/scorer';

const rowsPerSequence = 32;

/** A term of every row of each sequence, by candidate id. */
type Table = Readonly<Record<string, readonly number[]>>;

/** What was asked for. */
interface Asked {
  readonly id: string;
  readonly sequence: number;
  readonly vocabulary: Vocabulary;
}

/** Tells terms from tables, a little different from row to row. */
class TableScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly candidatesPerPass = 4;
  public readonly asked: Asked[] = [];

  public constructor(
    private readonly terms_: Table,
    private readonly bounds?: Table,
  ) {}

  public get hasBounds(): boolean {
    return this.bounds !== undefined;
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
    const table = (vocabulary === 'bounded' ? this.bounds : undefined) ?? this.terms_;
    return Promise.resolve(
      candidates.map(({ id, first }) =>
        slices.map(({ sequence, from, to }) => {
          this.asked.push({ id, sequence, vocabulary });
          const term = table[id]?.[sequence] ?? 0;
          return blockTerms(
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

async function decide(
  strategy: Strategy,
  scorer: TableScorer,
  table: Table,
  expected: ReadonlyMap<string, number> = new Map(),
): Promise<RoundResult> {
  const sequences = Object.values(table)[0]?.length ?? 0;
  return strategy({
    ...{ scorer, metric: metrics.js, step: 'round.2', expected },
    candidates: Object.keys(table).map((id, first) => ({ id, first, members: [first] })),
    isEligible: () => true,
    rows: Array.from({ length: sequences }, () => rowsPerSequence),
    onDistance: () => undefined,
  });
}

const strategies = [
  ['naive', everyDistance],
  ['exact', race],
  ['lazy', lazy],
] as const;

describe('a round', () => {
  const table = { a: [0.4, 0.5, 0.4], b: [0.3, 0.31, 0.3], c: [0.31, 0.3, 0.3] };

  it.each(strategies)('tells how sure it is: %s', async (_, strategy) => {
    const { winner } = await decide(strategy, new TableScorer(table), table);
    expect(winner?.candidate.id).toBe('b');
    expect(winner?.decision.compared).toBe(3);
    expect(winner?.decision.confidence).toBeLessThan(0.999);
    expect(winner?.decision.ties).toEqual(['c']);
  });

  const nothing = Number.NaN;
  const broken = [
    ['all of the first', { a: [nothing, nothing], b: [0.3, 0.3], c: [0.2, 0.3] }],
    ['some of the last', { a: [0.3, 0.3], b: [0.2, 0.3], c: [0.1, nothing] }],
  ] as const;

  describe.each(broken)('where %s are no numbers', (_, terms) => {
    const best = terms.a[0] === 0.3 ? 'b' : 'c';

    it.each(strategies)('is won by a number: %s', async (_name, strategy) => {
      const { winner } = await decide(strategy, new TableScorer(terms), terms);
      expect(winner?.candidate.id).toBe(best);
      expect(winner?.distance).toBeGreaterThan(0);
    });

    it('is so behind bounds', async () => {
      const bounds = Object.fromEntries(
        Object.entries(terms).map(([id, own]) => [
          id,
          own.map((term) => (term > 0 ? 0.9 * term : 0)),
        ]),
      );
      const { winner } = await decide(race, new TableScorer(terms, bounds), terms);
      expect(winner?.candidate.id).toBe(best);
      expect(winner?.distance).toBeGreaterThan(0);
    });
  });

  it('runs no head of a candidate that a first sequence drops', async () => {
    const terms = { a: [0.3, 0.3, 0.3], b: [0.6, 0.3, 0.3], c: [0.29, 0.31, 0.29] };
    const bounds = { a: [0.28, 0.28, 0.28], b: [0.28, 0.28, 0.28], c: [0.28, 0.28, 0.28] };
    const scorer = new TableScorer(terms, bounds);
    const { winner, distances } = await decide(race, scorer, terms);
    expect(winner?.candidate.id).toBe('c');
    const heads = scorer.asked.filter(({ vocabulary }) => vocabulary === 'whole');
    expect(heads.filter(({ id }) => id === 'b').map(({ sequence }) => sequence)).toEqual([0]);
    expect(heads).toHaveLength(7);
    expect(distances[1]?.atLeast).toBeGreaterThan(winner?.distance ?? Number.NaN);
  });
});
