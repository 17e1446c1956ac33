import { describe, expect, it } from 'vitest';
import { everyDistance, lazy, race, roundResult } from '../../../extension/core/prune/rounds';
import type { RoundResult, Strategy } from '../../../extension/core/prune/rounds';
import { RoundMeasurements } from '../../../extension/core/prune/round-measurements';
import { makeInput, TableScorer } from './table-scorer';
import type { Table } from './table-scorer';

async function decide(
  strategy: Strategy,
  scorer: TableScorer,
  table: Table,
  expected: ReadonlyMap<string, number> = new Map(),
): Promise<RoundResult> {
  return strategy({ ...makeInput(scorer, table), expected });
}

const strategies = [
  ['naive', everyDistance],
  ['exact', race],
  ['lazy', lazy],
] as const;

describe('a round', () => {
  const table = { a: [0.4, 0.5, 0.4], b: [0.3, 0.31, 0.3], c: [0.31, 0.3, 0.3] };

  it.each(strategies)('reports its confidence: %s', async (_, strategy) => {
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

  describe.each(broken)('with %s not finite', (_, terms) => {
    const best = terms.a[0] === 0.3 ? 'b' : 'c';

    it.each(strategies)('is won by a number: %s', async (_name, strategy) => {
      const { winner } = await decide(strategy, new TableScorer(terms), terms);
      expect(winner?.candidate.id).toBe(best);
      expect(winner?.distance).toBeGreaterThan(0);
    });

    it('is won by a number, with bounds', async () => {
      const bounds = Object.fromEntries(
        Object.entries(terms).map(([id, own]) => [
          id,
          own.map((term) => (term > 0 ? 0.9 * term : 0)),
        ]),
      );
      const { winner } = await decide(race, new TableScorer(terms, { bounded: bounds }), terms);
      expect(winner?.candidate.id).toBe(best);
      expect(winner?.distance).toBeGreaterThan(0);
    });
  });

  it('runs no head of a candidate that a first sequence drops', async () => {
    const terms = { a: [0.3, 0.3, 0.3], b: [0.6, 0.3, 0.3], c: [0.29, 0.31, 0.29] };
    const bounds = { a: [0.28, 0.28, 0.28], b: [0.28, 0.28, 0.28], c: [0.28, 0.28, 0.28] };
    const scorer = new TableScorer(terms, { bounded: bounds });
    const { winner, distances } = await decide(race, scorer, terms);
    expect(winner?.candidate.id).toBe('c');
    const heads = scorer.asked.filter(({ vocabulary }) => vocabulary === 'whole');
    expect(heads.filter(({ id }) => id === 'b').map(({ sequence }) => sequence)).toEqual([0]);
    expect(heads).toHaveLength(7);
    expect(distances[1]?.atLeast).toBeGreaterThan(winner?.distance ?? Number.NaN);
  });

  it.each([
    { told: 0.25, expected: { distance: 0.25, place: 1 } },
    { told: Number.NaN, expected: undefined },
    { told: Number.POSITIVE_INFINITY, expected: undefined },
  ])('records an expected distance of $told only if it is finite', async ({ told, expected }) => {
    const input = makeInput(new TableScorer(table), table);
    const measurements = new RoundMeasurements(input);
    const slices = input.rows.map((to, sequence) => ({ sequence, from: 0, to }));
    await measurements.measure(input.candidates, slices);
    const proposal = { expected: new Map([['b', told]]), finalists: input.candidates };
    const { winner } = roundResult(input, measurements, proposal);
    expect(winner?.candidate.id).toBe('b');
    expect(winner?.decision.expected).toEqual(expected);
  });
});
