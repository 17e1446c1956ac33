import { describe, expect, it } from 'vitest';
import { AdaptiveRounds } from '../../../extension/core/prune/adaptive/adaptive';
import type { RoundResult } from '../../../extension/core/prune/rounds';
import { SearchPlan } from '../../../extension/core/prune/search-plan';
import { fixture } from '../fixtures';
import { withSetup } from './run-search';
import { makeInput, TableScorer } from './table-scorer';
import type { Table } from './table-scorer';

const nothing = Number.NaN;
const folder = fixture('llama-attention-bias');

/** Decides rounds one after the other, without a surrogate. */
async function decided(
  ...scorers: readonly (readonly [TableScorer, Table])[]
): Promise<RoundResult[]> {
  const run = { folder, sequences: [[1, 2]], settings: { mode: 'adaptive' } } as const;
  return withSetup(run, async (setup, settings) => {
    const plan = new SearchPlan(settings, setup);
    const inputs = scorers.map(([scorer, table]) => makeInput(scorer, table));
    plan.rows = inputs[0]?.rows ?? [];
    const rounds = new AdaptiveRounds(plan, () => Promise.resolve());
    await rounds.start(new Map());
    const results: RoundResult[] = [];
    for (const input of inputs) {
      results.push(await rounds.round(input));
    }
    return results;
  });
}

describe('an adaptive round', () => {
  it.each([
    { table: { a: [0.3, 0.3], b: [0.1, nothing] }, best: 'a' },
    { table: { a: [0.3, 0.3], b: [0.2, nothing], c: [0.1, nothing] }, best: 'a' },
    { table: { a: [0.5, 0.5], b: [0.1, Infinity], c: [0.3, 0.3], d: [nothing, 0.1] }, best: 'c' },
  ])(
    'continues with dropped candidates if the leader overflows: $table',
    async ({ table, best }) => {
      const [result] = await decided([new TableScorer(table), table]);
      expect(result?.winner?.candidate.id).toBe(best);
      expect(result?.winner?.distance).toBeGreaterThan(0);
      expect(result?.distances.find(({ sublayer }) => sublayer === 'b')?.distance).toBeNull();
    },
  );

  it('measures on no slice twice, and no more than it needs', async () => {
    const table = { a: [0.3, 0.3, 0.3], b: [0.1, 0.1, nothing], c: [0.6, 0.6, 0.6] };
    const scorer = new TableScorer(table);
    const [result] = await decided([scorer, table]);
    expect(result?.winner?.candidate.id).toBe('a');
    expect(scorer.asked.filter(({ id }) => id === 'c').map(({ sequence }) => sequence)).toEqual([
      0,
    ]);
  });

  it('stops measuring a candidate that can only be a little better than the leader', async () => {
    const all = (term: number): number[] => Array.from({ length: 8 }, () => term);
    // Noise of 10 % per row, the same in both: 0.5 % less is certain, but not worth a measurement; 5 % less is.
    for (const [share, isMeasured] of [
      [0.005, false],
      [0.05, true],
    ] as const) {
      // The first sequence of a is lower, so a leads at first.
      const table = { a: [0.29, ...all(0.3)], b: [0.3, ...all(0.3 * (1 - share))] };
      const scorer = new TableScorer(table);
      const [result] = await decided([scorer, table]);
      const last = scorer.asked.filter(({ id, sequence }) => id === 'b' && sequence === 8);
      expect(last.length > 0).toBe(isMeasured);
      expect(result?.winner?.candidate.id).toBe(isMeasured ? 'b' : 'a');
    }
  });

  it('takes the next one if the leader overflows over ids outside the sample', async () => {
    const table = { a: [0.3, 0.3], b: [0.1, 0.1], c: [0.6, 0.6] };
    const scorer = new TableScorer(table, { whole: { ...table, b: [0.1, nothing] } });
    const [result] = await decided([scorer, table]);
    expect(result?.winner?.candidate.id).toBe('a');
    expect(result?.winner?.decision.confidence).toBeGreaterThan(0.99);
    expect(result?.distances.map(({ distance }) => distance !== null)).toEqual([true, false, true]);
  });

  it('continues with the other candidates if all finalists overflow', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `c${i}`);
    const first = Object.fromEntries(ids.map((id) => [id, [0.1, 0.1]]));
    const second = Object.fromEntries(
      ids.map((id) => [id, id === 'c18' ? [0.3, 0.3] : [0.1, nothing]]),
    );
    const [, result] = await decided(
      [new TableScorer(first), first],
      [new TableScorer(second), second],
    );
    expect(result?.winner?.candidate.id).toBe('c18');
    expect(result?.winner?.distance).toBeGreaterThan(0);
  });

  it('has no winner if no candidate has a finite distance', async () => {
    const table = { a: [nothing, 0.3], b: [0.1, nothing] };
    const [result] = await decided([new TableScorer(table), table]);
    expect(result?.winner?.distance).toBeNaN();
  });
});
