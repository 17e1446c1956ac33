import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundedIds } from '../../../extension/core/metrics/logits-readout';
import type { SearchSettings } from '../../../extension/core/prune/options';
import type { SearchResult } from '../../../extension/core/prune/search';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { InProcessEngine } from '../distribute/in-process-engine';
import { makeRandomModel } from '../random-model';
import { randomRuns, runsAllCases } from '../sample';
import { expectSame } from './expect-same';
import { runSearch } from './run-search';
import type { SearchRun } from './run-search';

const vocabulary = 3 * boundedIds;
/** Room for all, for bounds but hardly more, and for no bounds. */
const memorySizes = [1 << 30, 1 << 28, 60_000];

const scenario = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  modelType: fc.constantFrom('llama', 'mixtral', 'cohere'),
  metric: fc.constantFrom('js', 'kl'),
  /** From a model that finds all ids alike to one that is sure of few. */
  headSpread: fc.constantFrom(0.25, 1, 3),
  granularity: fc.constantFrom('sublayer', 'block'),
  sequences: fc.array(
    fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), { minLength: 8, maxLength: 8 }),
    { minLength: 1, maxLength: 3 },
  ),
});

/** Terms over one part of the vocabulary that rounds after the first asked for. */
function countTerms(records: readonly SearchRecord[], over: 'whole' | 'bounded'): number {
  return records.filter(
    (record) =>
      record.kind === 'term' && record.vocabulary === over && !record.step.endsWith('round.1'),
  ).length;
}

const removals = ({ rounds }: SearchResult) =>
  rounds.map(({ removed, distance }) => ({ removed, distance }));

/** A model that is sure of few ids, and what is searched for on it. */
async function withPeakedModel(
  seed: number,
  action: (run: SearchRun & { readonly settings: Partial<SearchSettings> }) => Promise<void>,
): Promise<void> {
  const folder = await makeRandomModel({ seed, blocks: 3, vocabulary, headSpread: 3 });
  const sequences = [1, 2].map((first) =>
    Array.from({ length: 8 }, (_, i) => (first * 7919 * (i + 1)) % vocabulary),
  );
  const settings: Partial<SearchSettings> = { mode: 'exact', budget: { kind: 'count', count: 3 } };
  try {
    await action({ folder, sequences, settings });
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('exact search that drops candidates by bounds', () => {
  it('has the order and the distances of the naive search', async () => {
    await fc.assert(
      fc.asyncProperty(
        scenario,
        async ({ seed, modelType, headSpread, sequences, metric, granularity }) => {
          const shape = { seed, modelType, headSpread, blocks: 3, vocabulary };
          const folder = await makeRandomModel(shape);
          try {
            const settings: Partial<SearchSettings> = {
              ...{ metric, granularity },
              budget: { kind: 'all' },
            };
            const run = { folder, sequences };
            const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
            for (const memoryBytes of memorySizes) {
              const records: SearchRecord[] = [];
              const exact = await runSearch({
                ...{ ...run, memoryBytes, settings: { ...settings, mode: 'exact' } },
                onRecord: (added) => records.push(...added),
              });
              expectSame(exact, naive);
              expect(countTerms(records, 'bounded') > 0).toBe(memoryBytes > 60_000);
            }
          } finally {
            await rm(folder, { recursive: true });
          }
        },
      ),
      { numRuns: randomRuns(6, 2) },
    );
  });

  it('runs few heads if the model is sure of few ids', async () => {
    await withPeakedModel(5, async (run) => {
      const records: SearchRecord[] = [];
      const exact = await runSearch({ ...run, onRecord: (added) => records.push(...added) });
      const naive = await runSearch({ ...run, settings: { ...run.settings, mode: 'naive' } });
      expect(removals(exact)).toEqual(removals(naive));
      expect(countTerms(records, 'whole')).toBeLessThan(countTerms(records, 'bounded') / 2);
    });
  });

  it('compares the same candidates as without bounds, with nearly the same confidence', async () => {
    await withPeakedModel(6, async (run) => {
      const settings = { ...run.settings, everyDistance: true };
      const [bounded, full] = [await runSearch(run), await runSearch({ ...run, settings })];
      bounded.rounds.forEach(({ decision }, i) => {
        const reference = full.rounds[i]?.decision;
        expect(decision?.compared).toBe(reference?.compared);
        expect(
          Math.abs((decision?.confidence ?? Number.NaN) - (reference?.confidence ?? Number.NaN)),
        ).toBeLessThan(0.1);
      });
    });
  });

  it('has the same result with workers', async () => {
    await withPeakedModel(7, async (run) => {
      const alone = await runSearch(run);
      const records: SearchRecord[] = [];
      const shared = await runSearch({
        ...{ ...run, engine: new InProcessEngine(3) },
        onRecord: (added) => records.push(...added),
      });
      expect(countTerms(records, 'bounded')).toBeGreaterThan(0);
      // Values that are computed in one run are rounded differently.
      removals(alone).forEach(({ removed, distance }, i) => {
        expect(shared.rounds[i]?.removed).toBe(removed);
        expect(shared.rounds[i]?.distance).toBeCloseTo(distance, 5);
      });
    });
  });

  it('has the same result after a stop at any point', async () => {
    await withPeakedModel(8, async (run) => {
      const journal: SearchRecord[] = [];
      const whole = await runSearch({ ...run, onRecord: (added) => journal.push(...added) });
      for (const share of runsAllCases ? [0.2, 0.5, 0.8, 0.95] : [0.2, 0.8]) {
        const remaining: SearchRecord[] = [];
        const cancellation = { isCancellationRequested: false };
        const stopped = runSearch({
          ...{ ...run, cancellation },
          onRecord: (added) => {
            remaining.push(...added);
            cancellation.isCancellationRequested = remaining.length > share * journal.length;
          },
        });
        await expect(stopped).rejects.toThrow();
        const added: SearchRecord[] = [];
        const resumed = await runSearch({
          ...{ ...run, replayed: remaining },
          onRecord: (records) => added.push(...records),
        });
        expect(resumed.rounds).toEqual(whole.rounds);
        expect(remaining.length + added.length).toBe(journal.length);
      }
    });
  });
});
