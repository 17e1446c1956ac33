import { join } from 'node:path';
import * as v from 'valibot';
import { beforeAll, expect, it } from 'vitest';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { SavedParts } from '../../../extension/core/jobs/saved-parts';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { parseLimit } from '../../../extension/core/tensornet/budget/budget-limits';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import type { BudgetRequest } from '../../../extension/core/tensornet/budget/plan-for-budget';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const calibration = { file: 'random', sequences: 2, length: 8 };
const where = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const folder = temporaryFolder();
let request: Omit<BudgetRequest, 'rounds'>;

beforeAll(async () => {
  const model = await openModelFiles(await makeRandomModel({ seed: 2, blocks: 2 }));
  const table = await profileSensitivity(
    {
      ...{ model, calibration, ...where, out: undefined, journal: join(folder, 'x.jsonl') },
      settings: {
        compressions: [
          { method: 'lowrank', ratio: 0.5 },
          { method: 'int4', setting: 16 },
        ],
        ...{ metric: 'js', roles: [], blocks: [], precision: 0, seed: 1 },
      },
    },
    { bundledText: '', version: 'test' },
    unattended,
  );
  const budget = { limits: [parseLimit('bytes<70%')] };
  const forms = join(folder, 'forms');
  request = { model, table, budget, calibration, bundledText: '', folder: forms, ...where };
});

/** Keeps values in memory, as they would be read from a journal. */
class Kept implements SavedParts {
  public identity: unknown;
  public readonly lines: string[] = [];
  public readonly beside = (): undefined => undefined;

  public constructor(private readonly afterAdd: () => void = () => undefined) {}

  public async bind(identity: unknown): Promise<void> {
    this.identity = identity;
    return Promise.resolve();
  }

  public part<Value>(_: string, schema: v.GenericSchema<unknown, Value>) {
    return {
      values: this.lines.map((line) => v.parse(schema, JSON.parse(line))),
      add: async (more: readonly Value[]) => {
        this.lines.push(...more.map((one) => JSON.stringify(one)));
        this.afterAdd();
        return Promise.resolve();
      },
    };
  }
}

it('continues after the plans that were measured before it was stopped', async () => {
  const whole = new Kept();
  const expected = await planForBudget({ ...request, rounds: 2, saved: whole }, unattended);
  expect(whole.lines).toHaveLength(expected.tried.length);
  expect(whole.lines.length).toBeGreaterThan(1);

  const cancellation = { isCancellationRequested: false };
  const stopped = new Kept(() => {
    cancellation.isCancellationRequested = true;
  });
  const context = { ...unattended, cancellation };
  await expect(planForBudget({ ...request, rounds: 2, saved: stopped }, context)).rejects.toThrow(
    CancelledError,
  );
  expect(stopped.lines).toEqual(whole.lines.slice(0, 1));

  cancellation.isCancellationRequested = false;
  const again = new Kept();
  again.lines.push(...stopped.lines);
  expect(await planForBudget({ ...request, rounds: 2, saved: again }, unattended)).toEqual(
    expected,
  );
  expect(again.lines).toEqual(whole.lines);
  expect(again.identity).toEqual(whole.identity);
});
