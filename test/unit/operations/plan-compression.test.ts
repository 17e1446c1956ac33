import { existsSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { sensitivityJournal } from '../../../extension/core/operations/measure-sensitivity';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { planCompression } from '../../../extension/core/operations/plan-compression';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import type { SensitivityEvent } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const model = fixture('llama-gqa-untied');
const models = new ModelCache({ capacity: 1 });
/** Known before the cache is another. */
const costs = costsFolder();

beforeAll(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});
afterAll(() => {
  vi.unstubAllEnvs();
});

/** Plans, and is stopped at a stage if one is named; counts what was measured. */
async function plan(
  stopAt?: string,
  rounds = 1,
): Promise<{ measured: number; isDone: boolean; shares: readonly number[] }> {
  const cancellation = { isCancellationRequested: false };
  let measured = 0;
  const shares: number[] = [];
  const context: OperationContext<SensitivityEvent> = {
    ...unattended,
    cancellation,
    progress: ({ stage, done, total }) => {
      cancellation.isCancellationRequested ||= inEnglish(stage) === stopAt;
      if (/^(?:Choosing|Compressing|Measuring the plan)/.test(inEnglish(stage))) {
        shares.push(done / total);
      }
    },
    emit: ({ kind }) => {
      measured += kind === 'sensitivity-entry' ? 1 : 0;
    },
    environment: {
      samples: join(import.meta.dirname, '../../../samples'),
      version: '0',
      bundles: '',
      costsFolder: costs,
      open: async (path: string) => models.open(path),
    },
  };
  const text = join(folder, 'text.txt');
  writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  const request = buildRequest(planCompression, {
    ...{ model, budget: 0.6, methods: ['int4:16'], rounds, device: 'cpu' },
    ...{ calibration: text, sequences: 2, length: 16 },
  });
  const isDone = await planCompression.run(request, context).then(
    () => true,
    () => false,
  );
  return { measured, isDone, shares };
}

it('a plan under a budget that was stopped measures nothing again', async () => {
  const journal = sensitivityJournal.path(undefined, model);
  const stopped = await plan('Choosing under the budget');
  expect(stopped.isDone).toBe(false);
  expect(stopped.measured).toBeGreaterThan(0);
  expect(existsSync(journal)).toBe(true);
  const { shares, ...done } = await plan();
  expect(done).toEqual({ measured: 0, isDone: true });
  // Over all plans that are measured, it never goes back.
  expect(new Set(shares).size).toBeGreaterThan(10);
  expect(shares).toEqual(shares.toSorted((a, b) => a - b));
  expect(shares.at(-1)).toBeLessThanOrEqual(1);
  expect(existsSync(journal)).toBe(false);
});

it('two plans for one model can be made at the same time, and leave no files', async () => {
  const both = await Promise.all([plan(undefined, 0), plan(undefined, 0)]);
  expect(both.map(({ isDone }) => isDone)).toEqual([true, true]);
  expect(await readdir(dirname(sensitivityJournal.path(undefined, model)))).toEqual([]);
});
