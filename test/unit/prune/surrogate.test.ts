import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listCandidates } from '../../../extension/core/prune/candidates';
import type { Slice } from '../../../extension/core/metrics/slices';
import { Surrogate } from '../../../extension/core/prune/adaptive/surrogate';
import { TrajectoryScorer } from '../../../extension/core/prune/trajectory-scorer';
import type { HiddenState } from '../../../extension/core/runtime/tensors';
import { makeRandomModel } from '../random-model';
import { withSetup } from './run-search';
import { randomRuns } from '../sample';

const ids = Array.from({ length: 24 }, (_, i) => (i * 7 + 3) % 40);
const slice: Slice = { sequence: 0, from: 0, to: 16 };

describe('surrogate', () => {
  it.each([undefined, 'recomputed'])(
    'is exact for a single removal, and for no removal: %s',
    async (recomputed) => {
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            seed: fc.integer({ min: 1, max: 1_000_000 }),
            metric: fc.constantFrom('js', 'kl', 'norm', 'angular'),
            modelType: fc.constantFrom('llama', 'cohere', 'mixtral'),
          } as const),
          async ({ seed, metric: name, modelType }) => {
            const folder = await makeRandomModel({ seed, blocks: 3, modelType });
            const run = { folder, sequences: [ids], settings: { metric: name } };
            await withSetup(run, async (setup) => {
              const finals = new Map<string, HiddenState>();
              const scorer = new TrajectoryScorer(setup, ({ id }, _, state) => {
                finals.set(id, state);
                return Promise.resolve();
              });
              const original = (await scorer.start([0])).get(0);
              if (original === undefined) {
                throw new Error('the original has not run');
              }
              const surrogate = await Surrogate.start(setup, slice, original);
              const candidates = listCandidates(setup.executor.model.summary, 'sublayer');
              let left = candidates;
              for (const step of ['round.1', 'round.2']) {
                const found = await scorer.terms(step, left, [slice], 'whole');
                for (const candidate of left) {
                  const known = recomputed === undefined ? finals.get(candidate.id) : undefined;
                  surrogate.learn(candidate, known);
                }
                for (const [i, candidate] of left.entries()) {
                  const sum = found[i]?.[0]?.reduce((total, term) => total + term, 0) ?? 0;
                  const { metric } = setup;
                  const truth = metric.distance(metric.sequenceTerm(sum), 1, slice.to);
                  const [told = Number.NaN] = await surrogate.distances([candidate]);
                  expect(Math.abs(told - truth)).toBeLessThanOrEqual(2e-3 * truth + 1e-6);
                }
                const removedIds = left[step === 'round.1' ? 2 : 0];
                if (removedIds === undefined) {
                  throw new Error('nothing is left');
                }
                left = left.filter((candidate) => candidate !== removedIds);
                scorer.commit(removedIds, left);
                surrogate.commit(removedIds);
                expect(left.every((candidate) => surrogate.age(candidate) === 1)).toBe(true);
              }
            });
            await rm(folder, { recursive: true });
          },
        ),
        { numRuns: randomRuns(5, 2) },
      );
    },
    60_000,
  );
});
