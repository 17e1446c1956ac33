import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import type { Slice } from '../../../extension/core/metrics/slices';
import { TermSample } from '../../../extension/core/metrics/term-sample';
import { unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { say } from '../../../extension/core/message';
import { openModel } from '../../../extension/core/models/open-model';
import { NaiveScorer } from '../../../extension/core/prune/naive-scorer';
import type { SearchSettings } from '../../../extension/core/prune/options';
import { defaultSettings, refineMethods } from '../../../extension/core/prune/options';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { SearchProgress } from '../../../extension/core/prune/search-progress';
import { SearchWork } from '../../../extension/core/prune/search-work';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { runSearch, withSetup } from './run-search';
import { randomRuns } from '../sample';

const random = seededRandom(3);
const sequences = Array.from({ length: 2 }, () =>
  Array.from({ length: 72 }, () => Math.floor(random() * randomModelVocabulary)),
);

describe('refinement', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeRandomModel({ seed: 11, blocks: 4 });
  });
  afterAll(async () => rm(folder, { recursive: true }));

  it('is never worse than its start, respects budget and protection, and is deterministic for a seed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          mode: fc.constantFrom('adaptive', 'exact', 'random', 'reverse'),
          metric: fc.constantFrom('js', 'norm'),
          method: fc.constantFrom(...refineMethods),
          sets: fc.integer({ min: 1, max: 24 }),
          count: fc.integer({ min: 1, max: 4 }),
          exclude: fc.constantFrom(0, 0.25),
          seed: fc.nat({ max: 9 }),
        }),
        async ({ method, sets, count, ...given }) => {
          const settings: Partial<SearchSettings> = {
            ...{ ...given, protect: ['block.1.attention'], budget: { kind: 'count', count } },
            refine: { method, sets },
          };
          const records: SearchRecord[] = [];
          const onRecord = (some: readonly SearchRecord[]): void => {
            records.push(...some);
          };
          const found = await runSearch({ folder, sequences, settings, onRecord });
          const { refinement, rounds } = found;
          expect(refinement?.to).toBeLessThanOrEqual(refinement?.from ?? 0);
          expect(refinement?.sets).toBeLessThanOrEqual(sets);
          expect(rounds).toHaveLength(count);
          expect(rounds.at(-1)?.distance).toBeCloseTo(refinement?.to ?? Number.NaN, 6);
          const removed = rounds.map((round) => round.removed);
          expect(new Set(removed).size).toBe(count);
          expect(removed).not.toContain('block.1.attention');
          const start = refinement?.start.map((round) => round.removed) ?? [];
          expect(removed.filter((id) => !start.includes(id))).toHaveLength(
            refinement?.exchanged ?? Number.NaN,
          );
          // As if stopped half-way.
          const replayed = records.slice(0, Math.floor(records.length / 2));
          const again = await runSearch({ folder, sequences, settings, replayed });
          expect(again.rounds).toEqual(rounds);
          expect(again.refinement).toEqual(refinement);
        },
      ),
      { numRuns: randomRuns(6, 2) },
    );
  });

  it('ends early if a format allows no exchange', async () => {
    const larger = await makeRandomModel({ seed: 12, blocks: 10 });
    const budget = { kind: 'count', count: 6 } as const;
    const allowed = (
      await runSearch({ folder: larger, sequences, settings: { mode: 'reverse', budget } })
    ).rounds.map(({ removed }) => removed);
    let asked = 0;
    const { refinement, rounds } = await runSearch({
      folder: larger,
      sequences,
      settings: { mode: 'reverse', budget, refine: { method: 'evolve', sets: 100 } },
      isWritable: (ids) => {
        asked++;
        return Promise.resolve(ids.length < 6 || ids.every((id) => allowed.includes(id)));
      },
    });
    expect(refinement).toMatchObject({ sets: 0, exchanged: 0 });
    expect(rounds.map(({ removed }) => removed)).toEqual(allowed);
    expect(asked).toBeLessThan(1000);
    await rm(larger, { recursive: true });
  });

  it('is part of the progress until it ends', async () => {
    const model = await openModel(folder);
    const work = new SearchWork(model);
    const reported: StageProgress[] = [];
    const settings: SearchSettings = {
      ...{ ...defaultSettings, mode: 'exact', budget: { kind: 'count', count: 2 } },
      refine: { method: 'evolve', sets: 32 },
    };
    const calibration = { sequences: 2, tokens: 512 };
    const progress = new SearchProgress(settings, model, work, calibration, {
      ...unattended,
      progress: (one) => reported.push(one),
    });
    const last = (): StageProgress | undefined => reported.at(-1);
    for (const round of [1, 2]) {
      progress.onStage(say`Round ${round}`);
      work.addSublayers(100);
      progress.onRound(round, { removed: `block.${round}`, distance: 0 });
    }
    progress.report(true);
    // 32 sets, each a quarter of 8 sublayers and a readout on two sequences.
    const readout = work.readoutCost(1, 'whole');
    const refining = 32 * 0.25 * (8 + readout) * 2;
    // Three baselines: each the sublayers up to its first removal, two sets from there, and three readouts with the original's.
    const comparing = ((3 + 2 * (0.25 + 0.06 + 0.33)) * 8 + 3 * 3 * readout) * 2;
    const total = Math.round(200 + refining + comparing);
    expect(last()).toMatchObject({ done: 200, total });
    progress.onRefining(0, 32);
    expect(last()).toMatchObject({ done: 200, total });
    work.addSublayers(60);
    progress.onRefining(16, 32);
    expect(last()).toMatchObject({ done: 260, total: Math.round(260 + 60 + comparing) });
  });

  it('reports increasing progress, for rounds of any length', async () => {
    const model = await openModel(folder);
    const work = new SearchWork(model);
    const settings: SearchSettings = {
      ...{ ...defaultSettings, baselines: [], budget: { kind: 'count', count: 5 } },
    };
    const calibration = { sequences: 2, tokens: 144 };
    const shares: number[] = [];
    const progress = new SearchProgress(settings, model, work, calibration, {
      ...unattended,
      progress: ({ done, total }) => shares.push(done / total),
    });
    for (const [index, cost] of [90, 20, 60, 200, 5].entries()) {
      progress.onStage(say`Round ${index + 1}`);
      for (let part = 0; part < 4; part++) {
        work.addSublayers(cost / 4);
        progress.report(true);
      }
      progress.onRound(index + 1, { removed: `block.${index}`, distance: 0 });
    }
    progress.report(true);
    // Rounded to whole steps.
    for (const [i, share] of shares.slice(1).entries()) {
      expect(share).toBeGreaterThanOrEqual((shares[i] ?? 0) - 0.01);
    }
    expect(shares.at(-1)).toBe(1);
    // The second of five rounds is no more than two of them, cheap as it was.
    expect(shares[9]).toBeLessThan(0.8);
  });

  it('finds the best pair if it may measure all', async () => {
    const settings = { mode: 'reverse', budget: { kind: 'count', count: 2 } } as const;
    const run = { folder, sequences, settings };
    const best = await withSetup(run, async (setup) => {
      const scorer = new NaiveScorer(setup);
      await scorer.start([0, 1]);
      const [all, slices] = [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [makeSlice(0), makeSlice(1)],
      ];
      const pairs = all.flatMap((a) =>
        all.filter((b) => b > a).map((b) => ({ id: `${a} ${b}`, members: [a, b], first: a })),
      );
      const terms = await scorer.terms('pairs', pairs, slices);
      return Math.min(
        ...terms.map((own) => {
          const sample = new TermSample(setup.metric, [72, 72]);
          slices.forEach((slice, i) => {
            sample.add(slice, own[i] ?? []);
          });
          return sample.distance().distance;
        }),
      );
    });
    for (const method of refineMethods) {
      const { refinement } = await runSearch({
        ...run,
        settings: { ...settings, refine: { method, sets: 500 } },
      });
      expect(refinement?.to).toBeCloseTo(best, 5);
    }
  });
});

function makeSlice(sequence: number): Slice {
  return { sequence, from: 0, to: 72 };
}
