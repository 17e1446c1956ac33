import { describe, expect, it } from 'vitest';
import { listCandidates } from '../../../extension/core/prune/candidates';
import { normalCdf, normalQuantile, studentQuantile } from '../../../extension/core/statistics';
import type { BlockTerms } from '../../../extension/core/metrics/slices';
import { TrajectoryScorer } from '../../../extension/core/prune/trajectory-scorer';
import { fixture } from '../fixtures';
import { runSearch, withSetup } from './run-search';

const ids = Array.from({ length: 24 }, (_, i) => (i * 7 + 3) % 40);

describe('a search limited to removals that can be written', () => {
  it.each(['adaptive', 'exact', 'reverse'] as const)(
    'removes the best allowed candidate in every round: %s',
    async (mode) => {
      // As in a format that only loses its last sublayers.
      const order = ['block.1.feedforward', 'block.1.attention', 'block.0.feedforward'];
      const { rounds, candidates } = await runSearch({
        folder: fixture('llama-gqa-untied'),
        sequences: [ids],
        settings: { mode, budget: { kind: 'all' } },
        isWritable: (gone) =>
          Promise.resolve(gone.every((id) => order.slice(0, gone.length).includes(id))),
      });
      expect(rounds.map(({ removed }) => removed)).toEqual(order);
      expect(candidates).toHaveLength(8);
    },
  );
});

describe('slices of a sequence', () => {
  it.each(['llama-gqa-untied', 'gemma2', 'gpt2', 'gpt-neox', 'phi', 'mixtral', 'olmo2'])(
    'have the terms of the whole: %s',
    async (name) => {
      await withSetup({ folder: fixture(name), sequences: [ids], settings: {} }, async (setup) => {
        const scorer = new TrajectoryScorer(setup);
        await scorer.start([0]);
        const candidates = listCandidates(setup.executor.model.summary, 'sublayer');
        const expectedTerms = await scorer.terms(
          'whole',
          candidates,
          [{ sequence: 0, from: 0, to: 24 }],
          'whole',
        );
        const other = new TrajectoryScorer(setup);
        await other.start([0]);
        const before = setup.work.evaluations;
        const slices = [
          { sequence: 0, from: 0, to: 8 },
          { sequence: 0, from: 8, to: 24 },
        ] as const;
        const parts = await other.terms('parts', candidates, slices, 'whole');
        // The first tokens are run twice, and count as the share of the sequence that they are.
        const whole = candidates.reduce((sum, { first }) => sum + candidates.length - 1 - first, 0);
        expect(setup.work.evaluations - before).toBeCloseTo((whole * 4) / 3, 5);
        expectParts(parts, expectedTerms);
        const last = new TrajectoryScorer(setup);
        await last.start([0]);
        const started = setup.work.evaluations;
        const ends = await last.terms('ends', candidates, [slices[1]], 'whole');
        // Once they have been run as part of more, they are not run again.
        const starts = await last.terms('ends', candidates, [slices[0]], 'whole');
        expect(setup.work.evaluations - started).toBeCloseTo(whole, 5);
        expectParts(
          starts.map((terms, i) => [...terms, ...(ends[i] ?? [])]),
          expectedTerms,
        );
      });
    },
  );
});

/** Expects terms of slices, by candidate, to be those of the whole sequence. */
function expectParts(
  parts: readonly (readonly BlockTerms[])[],
  whole: readonly (readonly BlockTerms[])[],
): void {
  expect(parts).toHaveLength(whole.length);
  parts.forEach((slices, i) => {
    const expected = whole[i]?.[0] ?? [];
    expect(slices.flat()).toHaveLength(expected.length);
    slices.flat().forEach((term, j) => {
      expect(Math.abs(term - (expected[j] ?? 0))).toBeLessThan(1e-4 * (expected[j] ?? 0) + 1e-7);
    });
  });
}

describe('quantiles', () => {
  it('are those of tables', () => {
    expect(normalCdf(1.96)).toBeCloseTo(0.975, 4);
    expect(normalCdf(-1.96)).toBeCloseTo(0.025, 4);
    expect(normalQuantile(0.001)).toBeCloseTo(3.0902, 2);
    for (const [tail, freedom, value] of [
      [0.001, 7, 4.785],
      [0.001, 15, 3.733],
      [0.0001, 15, 4.88],
      [0.01, 31, 2.453],
    ] as const) {
      expect(Math.abs(studentQuantile(tail, freedom) / value - 1)).toBeLessThan(0.02);
    }
  });
});
