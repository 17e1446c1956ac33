import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { planFor } from '../../../extension/core/plans/plan';
import { parseLimit } from '../../../extension/core/tensornet/budget/budget-limits';
import type { BudgetUnit } from '../../../extension/core/tensornet/budget/budget-limits';
import { costRanges } from '../../../extension/core/tensornet/budget/pareto-front';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import { PlanMeasurer } from '../../../extension/core/tensornet/budget/plan-measurer';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { loadProfileInputs } from '../../../extension/core/tensornet/statistics/profile-inputs';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const calibration = { file: 'random', sequences: 3, length: 12 };
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const context = 64;
let model: OpenedModel;
let table: SensitivityProfile;

beforeAll(async () => {
  model = await openModelFiles(fixture('mixtral'));
  const int4 = { method: 'int4', setting: 16 } as const;
  const settings = { compressions: [int4], roles: [], blocks: [], widths: [0.75, 0.5, 0.25] };
  table = await profileSensitivity(
    {
      ...{ model, calibration, ...run, out: undefined, journal: join(folder, 'w.journal.jsonl') },
      settings: { ...settings, metric: 'js', precision: 0, seed: 1 },
    },
    { bundledText: '', version: 'test' },
    unattended,
  );
});

describe('experts of an MoE layer', () => {
  it('are removed at each share, but never below the experts of a token', () => {
    const mixtures = model.summary.sublayers.filter(({ experts }) => experts !== undefined);
    const widths = (table.widths ?? []).filter(({ of }) => of === 'experts');
    expect(widths.map(({ sublayer }) => sublayer)).toEqual(mixtures.map(({ id }) => id));
    for (const [i, { count, entries }] of widths.entries()) {
      const { perToken = 0 } = mixtures[i]?.experts ?? {};
      expect(entries.map(({ kept }) => kept)).toEqual(
        [0.75, 0.5, 0.25].map((share) => share * count).filter((kept) => kept >= perToken),
      );
      for (const { kept, remove, distance } of entries) {
        expect(parseRanges(remove)).toHaveLength(count - kept);
        expect(distance).toBeGreaterThan(0);
      }
    }
  });

  it("count only their tokens' work, so that the total of an MoE layer is counted once", () => {
    const [mixture] = model.summary.sublayers.filter(({ experts }) => experts !== undefined);
    const layers = table.layers.filter(({ sublayer }) => sublayer === mixture?.id);
    const sum = layers.reduce((total, { flopsPerToken }) => total + flopsPerToken, 0);
    expect(sum).toBeLessThanOrEqual(mixture?.flopsPerToken ?? 0);
    expect(sum).toBeGreaterThan(0.5 * (mixture?.flopsPerToken ?? 0));
    expect(new Set(layers.map(({ expert }) => expert)).size).toBe(mixture?.experts?.count);
  });

  it('save bytes, but no FLOPs', () => {
    const compressions = { ...table, layers: table.layers.map((one) => ({ ...one, entries: [] })) };
    const reach = costRanges(compressions, context, []);
    const { experts } = model.summary.sublayers.find((one) => one.experts !== undefined) ?? {};
    const removedIds = (table.widths ?? [])
      .filter(({ of }) => of === 'experts')
      .reduce((sum, { count, entries }) => sum + count - (entries.at(-1)?.kept ?? count), 0);
    const others = (table.widths ?? []).filter(({ of }) => of !== 'experts');
    const without = costRanges({ ...compressions, widths: others }, context, []);
    const saved = (unit: BudgetUnit): number => {
      const [most, least] = [without, reach].map((one) => one.find((u) => u.unit === unit)?.least);
      return (most ?? Number.NaN) - (least ?? Number.NaN);
    };
    expect(saved('parameters')).toBeCloseTo(removedIds * (experts?.parameters ?? 0), 6);
    expect(saved('bytes')).toBeCloseTo(removedIds * (experts?.bytes ?? 0), 6);
    expect(saved('flops')).toBeCloseTo(0, 6);
  });

  it('are removed by a plan under a budget, together with compression, and so is the written model', async () => {
    const limits = ['parameters<75%', 'bytes<45%'].map(parseLimit);
    const plan = await planForBudget(
      {
        ...{ model, table, budget: { limits, context }, rounds: 0, calibration, bundledText: '' },
        ...{ folder: join(folder, 'plan'), ...run },
      },
      unattended,
    );
    expect(plan.remove.length).toBeGreaterThan(0);
    expect(plan.remove.every((id) => /^block\.\d+\.expert\.\d+$/.test(id))).toBe(true);
    expect(plan.compress.length).toBeGreaterThan(0);
    const { remove, widths, compress } = plan;
    const lost = compress.filter(({ tensor }) => remove.some((id) => belongsTo(tensor, id)));
    expect(lost).toEqual([]);
    const out = join(folder, 'written');
    const application = {
      ...{ model, plan: planFor(model.summary, { remove, widths, compress }), out },
      ...({ format: 'onnx', overwrite: false, ...run } as const),
    };
    await applyPlan(application, unattended);
    const { summary } = await openModelFiles(out);
    const [parameters, bytes] = plan.limits;
    expect(summary.bytes / (bytes?.cost ?? Number.NaN)).toBeCloseTo(1, 1);
    const { experts } = model.summary.sublayers.find((one) => one.experts !== undefined) ?? {};
    expect(parameters?.cost).toBe(
      model.summary.parameters - remove.length * (experts?.parameters ?? 0),
    );
  });

  it('are measured together by their true distance', async () => {
    const [width] = (table.widths ?? []).filter(({ of }) => of === 'experts');
    const [entry] = width?.entries ?? [];
    const { measured } = await loadProfileInputs(
      calibration,
      model.model,
      '',
      { seed: 1, fitted: [] },
      () => undefined,
    );
    const { inputs } = measured;
    const setup = { model, inputs, fittedTo: inputs, metric: 'js', seed: 1, folder } as const;
    const measurer = new PlanMeasurer({ ...setup, ...run }, unattended);
    const remove = (parseRanges(entry?.remove ?? '') ?? []).map(
      (expert) => `${width?.sublayer ?? ''}.${expert}`,
    );
    const found = await measurer.measure({ compress: [], widths: [], remove }, true);
    await measurer.dispose();
    expect(found.distance).toBeCloseTo(entry?.distance ?? Number.NaN, 6);
    expect(found.without.get(width?.sublayer ?? '')).toBeCloseTo(0, 6);
  });
});

/** True if a tensor belongs to an expert. */
function belongsTo(tensor: string, expert: string): boolean {
  const [, block = '', index = ''] = /^block\.(\d+)\.expert\.(\d+)$/.exec(expert) ?? [];
  return tensor.includes(`layers.${block}.`) && tensor.includes(`experts.${index}.`);
}
