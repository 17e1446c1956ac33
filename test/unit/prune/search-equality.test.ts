import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { metricNames } from '../../../extension/core/metrics/metrics';
import { granularities } from '../../../extension/core/prune/options';
import type { Granularity, SearchSettings } from '../../../extension/core/prune/options';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { prune } from '../export/pruning';
import { encoderFixture, encoderGolden, encoderNames } from '../encoder-fixtures';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import type { RandomModelShape } from '../random-model';
import { randomRuns, runsAllCases, sampled, sublayerFeatures } from '../sample';
import { expectSame } from './expect-same';
import { runSearch } from './run-search';

const families = ['llama', 'qwen2', 'mistral', 'cohere'] as const;
const withoutExperts = granularities.filter((one) => one !== 'expert' && one !== 'mixer');
/** Everything kept, next to nothing kept, and something between. */
const memorySizes = [1 << 30, 1, 60_000];

const encoders = await sampled(encoderNames, async (name) =>
  sublayerFeatures(encoderFixture(name)),
);

const decoders = await sampled(
  [
    ...['gemma2', 'olmo2', 'gpt2', 'gpt-neox', 'phi', 'falcon-new', 'mixtral'].map((name) =>
      fixture(name),
    ),
    ...['bert-fused', 'gpt-neox-dynamo', 'llama-fused', 'gemma2-legacy'].map(onnxFixture),
  ],
  sublayerFeatures,
);

type ModelTypes = readonly NonNullable<RandomModelShape['modelType']>[];

const makeScenario = (modelTypes: ModelTypes, among: readonly Granularity[], memoryBytes: number) =>
  fc.record({
    seed: fc.integer({ min: 1, max: 1_000_000 }),
    blocks: fc.constant(3),
    modelType: fc.constantFrom(...modelTypes),
    metric: fc.constantFrom(...metricNames),
    granularity: fc.constantFrom(...among),
    exclude: fc.constantFrom(0, 0.2, 0.4),
    protect: fc.constantFrom([], ['block.1.attention'], ['block.0']),
    memoryBytes: fc.constant(memoryBytes),
    everyDistance: fc.boolean(),
    sequences: fc.array(
      fc.array(fc.integer({ min: 0, max: randomModelVocabulary - 1 }), {
        minLength: 8,
        maxLength: 8,
      }),
      { minLength: 1, maxLength: 4 },
    ),
  });

type Scenario = ReturnType<typeof makeScenario> extends fc.Arbitrary<infer T> ? T : never;

/** Tries `count` random scenarios with each memory size. */
async function tryScenarios(
  modelTypes: ModelTypes,
  among: readonly Granularity[],
  numRuns: number,
  holds: (given: Scenario) => Promise<void>,
  sizes = memorySizes,
): Promise<void> {
  for (const memoryBytes of sizes) {
    const scenario = makeScenario(modelTypes, among, memoryBytes);
    await fc.assert(fc.asyncProperty(scenario, holds), { numRuns });
  }
}

describe('exact search', () => {
  it.each([
    ['any', families, withoutExperts, randomRuns(3)],
    ['parallel', ['cohere'], withoutExperts, 1],
    ['expert', ['mixtral'], ['expert', 'expert', 'sublayer', 'block'], randomRuns(2)],
  ] as const)(
    'has the order and the distances of the naive search, for less work: %s branches',
    async (_, modelTypes, among, numRuns) => {
      await tryScenarios(modelTypes, among, numRuns, async (given) => {
        const folder = await makeRandomModel(given);
        try {
          const settings: Partial<SearchSettings> = { ...given, budget: { kind: 'all' } };
          const run = { folder, sequences: given.sequences };
          const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
          const exact = await runSearch({
            ...run,
            memoryBytes: given.memoryBytes,
            settings: { ...settings, mode: 'exact' },
          });
          expectSame(exact, naive);
          expect(naive.sublayerEvaluations).toBe(naive.naiveSublayerEvaluations);
          expect(exact.naiveSublayerEvaluations).toBe(naive.naiveSublayerEvaluations);
          if (given.memoryBytes === 1 << 30) {
            expect(exact.sublayerEvaluations).toBeLessThanOrEqual(naive.sublayerEvaluations);
          }
        } finally {
          await rm(folder, { recursive: true });
        }
      });
    },
    300_000,
  );

  it.each(decoders)('does so for %s', async (folder) => {
    const run = {
      folder,
      sequences: [
        [3, 14, 15, 9, 26, 5, 35, 8],
        [9, 7, 9, 32, 3, 8, 46, 26],
      ],
    };
    const settings: Partial<SearchSettings> = {
      budget: { kind: 'all' },
      exclude: 0,
      everyDistance: true,
    };
    const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
    const exact = await runSearch({ ...run, settings: { ...settings, mode: 'exact' } });
    expectSame(exact, naive);
    expect(exact.sublayerEvaluations).toBeLessThan(naive.sublayerEvaluations);
  });

  it.each(['qwen3-moe-dynamo', 'qwen3-moe-legacy', 'qwen3-moe-past', 'gptoss-genai'])(
    'does so for the single experts of %s',
    async (name) => {
      const run = { folder: onnxFixture(name), sequences: [[3, 14, 15, 9, 26, 5, 35, 8]] };
      const settings: Partial<SearchSettings> = {
        granularity: 'expert',
        budget: { kind: 'all' },
        exclude: 0,
        everyDistance: true,
      };
      const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
      const exact = await runSearch({ ...run, settings: { ...settings, mode: 'exact' } });
      expectSame(exact, naive);
      expect(exact.sublayerEvaluations).toBeLessThan(naive.sublayerEvaluations);
      // Two blocks of four experts; the router selects two per token.
      expect(exact.rounds).toHaveLength(4);
    },
  );

  it('does so for the single experts of random models written as ONNX', async () => {
    const holds = async (given: Scenario): Promise<void> => {
      const folder = await makeRandomModel(given);
      const out = `${folder}-onnx`;
      try {
        await prune(folder, [], out, { format: 'onnx' });
        const settings: Partial<SearchSettings> = { ...given, budget: { kind: 'all' } };
        const run = { folder: join(out, 'model.onnx'), sequences: given.sequences };
        const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
        const exact = await runSearch({
          ...run,
          memoryBytes: given.memoryBytes,
          settings: { ...settings, mode: 'exact' },
        });
        expectSame(exact, naive);
      } finally {
        await rm(folder, { recursive: true });
        await rm(out, { recursive: true, force: true });
      }
    };
    // The folders that they are written from have the other sizes.
    const sizes = runsAllCases ? memorySizes : memorySizes.slice(-1);
    await tryScenarios(['mixtral'], ['expert', 'sublayer'], 1, holds, sizes);
  });

  it.each(encoders)('does so for %s, on examples with all their inputs', async (name) => {
    const run = { folder: encoderFixture(name), sequences: encoderGolden(name).examples };
    const metric = name.endsWith('plain') ? 'norm' : 'js';
    const settings: Partial<SearchSettings> = { metric, budget: { kind: 'all' }, exclude: 0 };
    const naive = await runSearch({ ...run, settings: { ...settings, mode: 'naive' } });
    const exact = await runSearch({ ...run, settings: { ...settings, mode: 'exact' } });
    expectSame(exact, naive);
  });

  it.each([
    [
      'llama-gqa-untied',
      fixture('llama-gqa-untied'),
      { code: 'nothing-to-remove' as const, file: 'llama-gqa-untied', field: 'granularity expert' },
    ],
  ])('explains why %s does not support a search of single experts', async (_, folder, reason) => {
    const run = runSearch({ folder, sequences: [[1, 2, 3]], settings: { granularity: 'expert' } });
    await expect(run).rejects.toFailWith(reason);
  });

  it('ranks by single removals, and measures them together', async () => {
    const folder = await makeRandomModel({ seed: 8, blocks: 3 });
    const run = { folder, sequences: [[1, 2, 3, 4, 5, 6]] };
    const budget = { kind: 'count', count: 3 } as const;
    const settings = { budget, baselines: ['one-shot'] } as const;
    const { baselines } = await runSearch({ ...run, settings: { ...settings, mode: 'exact' } });
    const { rounds } = await runSearch({ ...run, settings: { budget, mode: 'one-shot' } });
    expect(rounds.map(({ removed }) => removed)).toEqual(
      baselines['one-shot']?.map(({ removed }) => removed),
    );
    rounds.forEach(({ distance }, i) => {
      expect(distance).toBeCloseTo(baselines['one-shot']?.[i]?.distance ?? Number.NaN, 6);
    });
    await rm(folder, { recursive: true });
  });

  it('has the same result when resumed from any part of its journal', async () => {
    const folder = await makeRandomModel({ seed: 7, blocks: 3 });
    const sequences = [
      [1, 2, 3, 4, 5, 6],
      [9, 8, 7, 6, 5, 4],
    ];
    const settings: Partial<SearchSettings> = {
      budget: { kind: 'count', count: 4 },
      baselines: ['one-shot', 'reverse', 'random'],
    };
    const journal: SearchRecord[] = [];
    const whole = await runSearch({
      folder,
      sequences,
      settings,
      onRecord: (records) => journal.push(...records),
    });
    for (const share of [0, 0.3, 0.7, 1]) {
      const replayed = journal.slice(0, Math.floor(journal.length * share));
      const added: SearchRecord[] = [];
      const resumed = await runSearch({
        folder,
        sequences,
        settings,
        replayed,
        onRecord: (records) => added.push(...records),
      });
      expect(resumed.rounds).toEqual(whole.rounds);
      expect(resumed.baselines).toEqual(whole.baselines);
      expect(added.length).toBe(journal.length - replayed.length);
    }
    await rm(folder, { recursive: true });
  });
});
