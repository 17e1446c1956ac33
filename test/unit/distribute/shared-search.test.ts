import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobWorker } from '../../../extension/core/distribute/work-item';
import { WorkerLostError } from '../../../extension/core/jobs/child-task';
import { inEnglish } from '../../../extension/core/message';
import type { SearchSettings } from '../../../extension/core/prune/options';
import type { SearchResult } from '../../../extension/core/prune/search';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { encoderFixture, encoderGolden, encoderNames } from '../encoder-fixtures';
import { runSearch } from '../prune/run-search';
import type { SearchRun } from '../prune/run-search';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { InProcessEngine } from './in-process-engine';
import { randomRuns } from '../sample';

/** Order, decisions and distances must be the same; what it cost need not be. */
function expectEqual(shared: SearchResult, alone: SearchResult): void {
  expectNear(
    { ...shared, seconds: 0, sublayerEvaluations: 0 },
    { ...alone, seconds: 0, sublayerEvaluations: 0 },
    [],
  );
}

/** Numbers may differ by 1e-6: what runs together is rounded otherwise. All else is the same. */
function expectNear(found: unknown, expected: unknown, path: readonly string[]): void {
  if (typeof expected === 'number' && typeof found === 'number') {
    // Errors and shares of a difference are of numbers that rounding makes.
    const isDerived = path.some((name) => ['standardError', 'confidence'].includes(name));
    const tolerance = (isDerived ? 1e-3 : 1e-6) * Math.max(1, Math.abs(expected));
    if (!Object.is(found, expected)) {
      expect(Math.abs(found - expected), path.join('.')).toBeLessThanOrEqual(tolerance);
    }
  } else if (typeof expected === 'object' && expected !== null && found !== null) {
    const [some, others] = [found as object, expected];
    expect(Object.keys(some), path.join('.')).toEqual(Object.keys(others));
    for (const [key, value] of Object.entries(others)) {
      expectNear((some as Record<string, unknown>)[key], value, [...path, key]);
    }
  } else {
    expect(found, path.join('.')).toEqual(expected);
  }
}

const sequences = fc.array(
  fc.array(fc.integer({ min: 0, max: randomModelVocabulary - 1 }), {
    minLength: 6,
    maxLength: 6,
  }),
  { minLength: 1, maxLength: 5 },
);

describe('a search that several workers share', () => {
  it('decides as one process does, by the same distances', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.integer({ min: 1, max: 1_000_000 }),
          modelType: fc.constantFrom('llama', 'mixtral'),
          mode: fc.constantFrom('adaptive', 'exact', 'lazy', 'naive', 'one-shot'),
          granularity: fc.constantFrom('sublayer', 'block'),
          everyDistance: fc.boolean(),
          workers: fc.integer({ min: 2, max: 4 }),
          refine: fc.constantFrom(undefined, { method: 'swaps', sets: 6 } as const),
          sequences,
        }),
        async ({ seed, modelType, workers, sequences: texts, everyDistance, refine, ...given }) => {
          const folder = await makeRandomModel({ seed, blocks: 3, modelType });
          try {
            const settings: Partial<SearchSettings> = {
              ...given,
              everyDistance: everyDistance && given.mode !== 'adaptive',
              budget: { kind: 'count', count: 2 },
              baselines: ['one-shot'],
              ...(refine === undefined ? {} : { refine }),
            };
            const run: SearchRun = { folder, sequences: texts, settings };
            const alone = await runSearch(run);
            expectEqual(await runSearch({ ...run, engine: new InProcessEngine(workers) }), alone);
          } finally {
            await rm(folder, { recursive: true });
          }
        },
      ),
      { numRuns: randomRuns(5, 2) },
    );
  });

  it('does so on examples with all their inputs', async () => {
    const [name = ''] = encoderNames;
    const run: SearchRun = {
      folder: encoderFixture(name),
      sequences: encoderGolden(name).examples,
      settings: { mode: 'exact', budget: { kind: 'count', count: 2 } },
    };
    const engine = new InProcessEngine(2);
    expectEqual(await runSearch({ ...run, engine }), await runSearch(run));
    expect(engine.begun.every((pieces) => pieces > 0)).toBe(true);
  });

  it('continues after workers are lost, with the same result', async () => {
    const folder = await makeRandomModel({ seed: 11, blocks: 3 });
    const run: SearchRun = {
      folder,
      sequences: [
        [1, 2, 3, 4, 5, 6],
        [6, 5, 4, 3, 2, 1],
        [9, 8, 7, 3, 2, 1],
      ],
      settings: { mode: 'exact', budget: { kind: 'count', count: 3 } },
    };
    const alone = await runSearch(run);
    const engine = new InProcessEngine(3, (worker, index, crew) => {
      let left = 2 + index;
      const mortal: JobWorker = {
        name: worker.name,
        do: async (piece, job) => {
          if (left-- > 0) {
            return worker.do(piece, job);
          }
          crew.leave(mortal, 'It has said nothing for 6 seconds.');
          throw new WorkerLostError('It has said nothing for 6 seconds.');
        },
      };
      return mortal;
    });
    expectEqual(await runSearch({ ...run, engine }), alone);
    await rm(folder, { recursive: true });
  });

  it('resumes from the journal of any number of workers', async () => {
    const folder = await makeRandomModel({ seed: 12, blocks: 3 });
    const run: SearchRun = {
      folder,
      sequences: [
        [1, 2, 3, 4, 5, 6],
        [9, 8, 7, 6, 5, 4],
        [4, 4, 7, 6, 5, 4],
      ],
      settings: { mode: 'adaptive', budget: { kind: 'count', count: 3 } },
    };
    const journal: SearchRecord[] = [];
    const engine = new InProcessEngine(4);
    const warnings: string[] = [];
    const whole = await runSearch({
      ...{ ...run, engine },
      onRecord: (some) => journal.push(...some),
      warn: (message) => warnings.push(inEnglish(message)),
    });
    expect(warnings).toEqual(['A search of 3 sequences can use at most one worker per sequence.']);
    const replayed = journal.slice(0, Math.floor(journal.length / 2));
    const added: SearchRecord[] = [];
    const onRecord = (some: readonly SearchRecord[]): number => added.push(...some);
    expectEqual(await runSearch({ ...run, replayed, onRecord }), whole);
    expect(added).toHaveLength(journal.length - replayed.length);
    await rm(folder, { recursive: true });
  });
});
