import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { createReadout } from '../../../extension/core/metrics/metric-readout';
import { metricNames, metrics } from '../../../extension/core/metrics/metrics';
import { sampleVocabulary } from '../../../extension/core/metrics/vocabulary-sample';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { makeRandomModel } from '../random-model';
import { finalStates } from './final-states';
import { randomRuns } from '../sample';

const offsets = 200;

describe('a sample of a vocabulary', () => {
  it('has the requested size and required ids, and draws each id with its probability', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer({ min: 1, max: 1_000_000 }),
          size: fc.integer({ min: 60, max: 300 }),
          count: fc.integer({ min: 10, max: 50 }),
          /** By how many powers of ten masses differ. */
          spread: fc.integer({ min: 0, max: 9 }),
        }),
        ({ seed, size, count, spread }) => {
          const random = seededRandom(seed);
          const masses = Float32Array.from({ length: size }, () => 10 ** (-spread * random()));
          const always = [0, Math.floor(size / 2), size - 1];
          const drawn = new Float64Array(size);
          const chances = new Map<number, number>();
          for (let step = 0; step < offsets; step++) {
            const offset = (step + 0.5) / offsets;
            const { ids, logWeights } = sampleVocabulary(masses, count, always, offset);
            expect(ids).toHaveLength(count);
            expect([...ids]).toEqual([...new Set(ids)].sort((a, b) => a - b));
            ids.forEach((id, i) => {
              drawn[id] = (drawn[id] ?? 0) + 1;
              chances.set(id, Math.exp(-(logWeights[i] ?? Number.NaN)));
            });
          }
          for (const id of always) {
            expect(chances.get(id)).toBe(1);
          }
          // An id is drawn in one stretch of offsets, as long as its chance.
          drawn.forEach((times, id) => {
            expect(Math.abs(times / offsets - (chances.get(id) ?? 0))).toBeLessThan(
              1.01 / offsets + 1e-6,
            );
          });
        },
      ),
      { numRuns: randomRuns(40, 10) },
    );
  });

  it.each([
    ['as stored', false],
    ['rounded to int8', true],
  ])(
    'estimates distances of probabilities over the vocabulary, with a separate LM head %s',
    async (_, roundsHead) => {
      const vocabulary = 20_000;
      const folder = await makeRandomModel({ seed: 3, blocks: 2, vocabulary });
      const executor = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 29, { roundsHead });
      const ids = Int32Array.from({ length: 96 }, (_, i) => (7919 * i + 3) % vocabulary);
      try {
        const [original, ...candidates] = await finalStates(executor, ids);
        for (const name of metricNames) {
          const metric = metrics[name];
          const sampled = createReadout(executor, name, metric, { vocabulary: 'sampled' });
          expect(sampled.vocabulary).toBe(metric.needsScores ? 'sampled' : 'whole');
          const whole = createReadout(executor, name, metric);
          const [estimates, truths] = [
            await sampled.terms(ids, original, candidates),
            await whole.terms(ids, original, candidates),
          ];
          estimates.forEach((estimate, i) => {
            expect(Math.abs(estimate / (truths[i] ?? Number.NaN) - 1)).toBeLessThan(
              sampled.vocabulary === 'sampled' ? 0.05 : 1e-6,
            );
          });
        }
      } finally {
        await executor.dispose();
        await rm(folder, { recursive: true });
      }
    },
  );

  it('contains all of a small vocabulary', async () => {
    const folder = await makeRandomModel({ seed: 3, blocks: 1 });
    const executor = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 28);
    try {
      expect(createReadout(executor, 'js', metrics.js, { vocabulary: 'sampled' }).vocabulary).toBe(
        'whole',
      );
    } finally {
      await executor.dispose();
      await rm(folder, { recursive: true });
    }
  });
});
