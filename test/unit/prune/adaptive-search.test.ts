import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { seededRandom } from '../../../extension/core/data/random';
import { openModel } from '../../../extension/core/models/open-model';
import type { SearchSettings } from '../../../extension/core/prune/options';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { randomRuns, runsAllCases } from '../sample';
import { expectSame } from './expect-same';
import { runSearch } from './run-search';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const adaptive = { mode: 'adaptive' } as const;

/** Token ids at random. */
function texts(count: number, length: number, seed: number): number[][] {
  const random = seededRandom(seed);
  const id = (): number => Math.floor(random() * randomModelVocabulary);
  return Array.from({ length: count }, () => Array.from({ length }, id));
}

/** Runs `action` on a random model, which is removed afterwards. */
async function onRandomModel<T>(
  shape: Parameters<typeof makeRandomModel>[0],
  action: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await makeRandomModel(shape);
  try {
    return await action(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('adaptive search', () => {
  it('equals the exact search at full confidence', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.integer({ min: 1, max: 1_000_000 }),
          metric: fc.constantFrom('js', 'kl', 'norm', 'perplexity'),
          granularity: fc.constantFrom('sublayer', 'block', 'attention'),
          exclude: fc.constantFrom(0, 0.3),
          length: fc.constantFrom(8, 40),
        } as const),
        async ({ seed, length, ...given }) => {
          await onRandomModel({ seed, blocks: 3 }, async (folder) => {
            const run = { folder, sequences: texts(3, length, seed) };
            const settings: Partial<SearchSettings> = { ...given, budget: { kind: 'all' } };
            const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
            const exact = await runSearch({ ...run, settings: { ...settings, mode: 'exact' } });
            const sure = await runSearch({
              ...run,
              settings: { ...settings, ...adaptive, confidence: 1 },
            });
            expectSame(sure, naive);
            expect(sure.rounds).toEqual(exact.rounds);
          });
        },
      ),
      { numRuns: randomRuns(6, 2) },
    );
  });

  it('drops candidates that are worse on the whole text, and measures less the less sure it must be', async () => {
    let [compared, wrongly, far, evaluations, bolder, exactly] = [0, 0, 0, 0, 0, 0];
    const starts = runsAllCases ? [0, 4] : [0];
    for (const after of starts) {
      const model = await openModel(sample);
      const calibration = { sequences: 4, length: 96, after };
      const { inputs } = await loadModelInputs(
        calibration,
        model,
        `${sample}/../calibration.txt`,
        0,
      );
      const run = { folder: sample, sequences: inputs.map((ids) => [...(ids as Int32Array)]) };
      const budget = { kind: 'count', count: 1 } as const;
      const exact = await runSearch({ ...run, settings: { mode: 'exact', budget } });
      const found = await runSearch({ ...run, settings: { ...adaptive, budget } });
      const bold = await runSearch({ ...run, settings: { ...adaptive, budget, confidence: 0.6 } });
      const truth = new Map(exact.candidates.map((one) => [one.sublayer, one.distance ?? 0]));
      const [round] = found.rounds;
      const chosen = truth.get(round?.removed ?? '') ?? 0;
      expect(Math.abs((round?.distance ?? 0) / chosen - 1)).toBeLessThan(1e-4);
      for (const { sublayer, distance, standardError = 0 } of found.candidates) {
        const distanceTruly = truth.get(sublayer) ?? 0;
        compared++;
        wrongly += distanceTruly < chosen * (1 - 1e-4) ? 1 : 0;
        far += Math.abs((distance ?? 0) - distanceTruly) > 3 * standardError ? 1 : 0;
      }
      evaluations += found.sublayerEvaluations;
      bolder += bold.sublayerEvaluations;
      exactly += exact.sublayerEvaluations;
    }
    expect(compared).toBe(24 * starts.length);
    expect(wrongly).toBe(0);
    expect(far / compared).toBeLessThan(0.1);
    expect(bolder).toBeLessThan(evaluations);
    expect(evaluations).toBeLessThan(0.7 * exactly);
  });

  it.each([
    ...['gemma2', 'gpt2', 'gpt-neox', 'mixtral'].map((name) => fixture(name)),
    ...['bert-fused', 'llama-fused'].map(onnxFixture),
  ])('finds an order for %s, with its distances', async (folder) => {
    const run = {
      folder,
      sequences: [
        [3, 14, 15, 9, 26, 5, 35, 8],
        [9, 7, 9, 32, 3, 8, 46, 26],
      ],
    };
    const settings: Partial<SearchSettings> = { budget: { kind: 'count', count: 3 } };
    const found = await runSearch({ ...run, settings: { ...settings, ...adaptive } });
    const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
    expect(found.rounds).toHaveLength(naive.rounds.length);
    // With fewer candidates than a round measures, and so little text, it misses nothing.
    expectSame({ ...found, candidates: naive.candidates }, naive);
  });

  it('reports its confidence, its ties, and its expected distances', async () => {
    await onRandomModel({ seed: 11, blocks: 6 }, async (folder) => {
      const found = await runSearch({
        folder,
        sequences: texts(3, 128, 11),
        settings: { ...adaptive, budget: { kind: 'count', count: 4 } },
      });
      found.rounds.forEach(({ removed, distance, decision, candidates = [] }, i) => {
        const { compared = 0, confidence = 0, ties = [], expected } = decision ?? {};
        expect(compared).toBe(i === 0 ? 12 : 8);
        const measured = candidates.filter((one) => one.distance !== null);
        expect(measured.length).toBeGreaterThanOrEqual(compared);
        expect(confidence).toBeGreaterThan(0);
        expect(ties).not.toContain(removed);
        for (const tie of ties) {
          const other = candidates.find(({ sublayer }) => sublayer === tie);
          expect(other?.distance).toBeGreaterThan(0);
        }
        expect(expected === undefined).toBe(i === 0);
        if (expected !== undefined) {
          expect(expected.distance / distance).toBeGreaterThan(0.5);
          expect(expected.distance / distance).toBeLessThan(2);
        }
      });
    });
  });

  it('has the same result when resumed from any part of its journal', async () => {
    await onRandomModel({ seed: 7, blocks: 6 }, async (folder) => {
      const run = {
        folder,
        sequences: texts(2, 96, 7),
        settings: {
          ...adaptive,
          budget: { kind: 'count', count: 5 },
          baselines: ['one-shot', 'reverse'],
        } satisfies Partial<SearchSettings>,
      };
      const journal: SearchRecord[] = [];
      const whole = await runSearch({ ...run, onRecord: (records) => journal.push(...records) });
      for (const share of [0, 0.2, 0.5, 0.8, 1]) {
        const replayed = journal.slice(0, Math.floor(journal.length * share));
        const added: SearchRecord[] = [];
        const resumed = await runSearch({
          ...run,
          replayed,
          onRecord: (records) => added.push(...records),
        });
        expect(resumed.rounds).toEqual(whole.rounds);
        expect(resumed.candidates).toEqual(whole.candidates);
        expect(resumed.baselines).toEqual(whole.baselines);
        expect(added.length).toBe(journal.length - replayed.length);
      }
    });
  });

  it('chooses by a sample of a large vocabulary, and measures the winner over all of it', async () => {
    await onRandomModel({ seed: 5, blocks: 3, vocabulary: 8000 }, async (folder) => {
      const run = { folder, sequences: texts(3, 96, 5) };
      const budget = { kind: 'count', count: 3 } as const;
      const records: SearchRecord[] = [];
      const found = await runSearch({
        ...run,
        settings: { ...adaptive, budget },
        onRecord: (more) => records.push(...more),
      });
      const terms = records.filter((record) => record.kind === 'term');
      expect(terms.some(({ vocabulary }) => vocabulary === 'sampled')).toBe(true);
      for (const [i, { removed, distance }] of found.rounds.entries()) {
        const measured = terms.filter(({ step }) => step === `round.${i + 1}`);
        const overAll = measured.filter(({ vocabulary }) => vocabulary === 'whole');
        expect(new Set(overAll.map(({ candidate }) => candidate))).toEqual(new Set([removed]));
        const total = overAll.flatMap((one) => one.terms).reduce((sum, term) => sum + term, 0);
        expect(distance).toBeCloseTo(total / (3 * 96), 10);
      }
      const naive = await runSearch({ ...run, settings: { mode: 'naive', budget } });
      expect(found.rounds.map(({ removed }) => removed)).toEqual(
        naive.rounds.map(({ removed }) => removed),
      );
      found.candidates.forEach(({ distance }, i) => {
        const truth = naive.candidates[i]?.distance ?? Number.NaN;
        expect(Math.abs((distance ?? Number.NaN) / truth - 1)).toBeLessThan(0.5);
      });
    });
  });

  it('refuses to measure every distance', async () => {
    const run = runSearch({
      folder: fixture('gpt2'),
      sequences: [[1, 2, 3]],
      settings: { ...adaptive, everyDistance: true },
    });
    await expect(run).rejects.toFailWith({
      code: 'distances-not-measured',
      field: 'everyDistance',
    });
  });
});
