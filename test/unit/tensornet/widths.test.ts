import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import { memoryAt } from '../../../extension/core/models/model-summary';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { planFor } from '../../../extension/core/plans/plan';
import { parseLimit } from '../../../extension/core/tensornet/budget/budget-limits';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import { PlanMeasurer } from '../../../extension/core/tensornet/budget/plan-measurer';
import { paretoFront } from '../../../extension/core/tensornet/budget/pareto-front';
import {
  planProblem,
  planUnderBudget,
} from '../../../extension/core/tensornet/budget/plan-under-budget';
import { widthCosts } from '../../../extension/core/tensornet/sensitivity/expected-cost';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { chosenWidths } from '../../../extension/core/tensornet/sensitivity/width-sensitivity';
import { loadProfileInputs } from '../../../extension/core/tensornet/statistics/profile-inputs';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const calibration = { file: 'random', sequences: 3, length: 12 };
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const context = 64;
let path = '';
let model: OpenedModel;
let table: SensitivityProfile;

beforeAll(async () => {
  path = await makeRandomModel({ seed: 7, blocks: 3, inner: 32 });
  model = await openModelFiles(path);
  const int4 = { method: 'int4', setting: 16 } as const;
  const settings = { compressions: [int4], roles: [], blocks: [], widths: [0.75, 0.5] };
  table = await profileSensitivity(
    {
      ...{ model, calibration, ...run, out: undefined, journal: join(folder, 'w.journal.jsonl') },
      settings: { ...settings, metric: 'js', precision: 0, seed: 1 },
    },
    { bundledText: '', version: 'test' },
    unattended,
  );
});
afterAll(async () => rm(path, { recursive: true }));

describe('widths', () => {
  it('are measured at each share of channels and of key/value heads, each number once', () => {
    const widths = table.widths ?? [];
    expect(widths.map(({ sublayer, of, count }) => [sublayer, of, count]).slice(0, 2)).toEqual([
      ['block.0.attention', 'groups', 2],
      ['block.0.feedforward', 'channels', 32],
    ]);
    const [attention, feedforward] = widths.map(({ entries }) => entries);
    // Three quarters of two key/value heads are both.
    expect(attention?.map(({ kept }) => kept)).toEqual([1]);
    expect(feedforward?.map(({ kept }) => kept)).toEqual([24, 16]);
    for (const { count, entries } of widths) {
      for (const { kept, remove } of entries) {
        expect(parseRanges(remove)).toHaveLength(count - kept);
      }
    }
    const text = JSON.stringify(table);
    expect(parseSensitivityProfile(text, 'a.sensitivity.json').widths).toEqual(widths);
  });

  it('are pruned of the least important channels: the distance is below that of pruning the others', async () => {
    const [, width] = table.widths ?? [];
    const half = width?.entries.at(-1);
    const { measured } = await loadProfileInputs(
      calibration,
      model.model,
      '',
      { seed: 1, fitted: [] },
      () => undefined,
    );
    const place = join(folder, 'measured');
    await mkdir(place);
    const { inputs } = measured;
    const setup = {
      model,
      inputs,
      fittedTo: inputs,
      metric: 'js',
      seed: 1,
      folder: place,
    } as const;
    const measurer = new PlanMeasurer({ ...setup, ...run }, unattended);
    const measureDistance = async (remove: string): Promise<number> => {
      const widths = [{ sublayer: width?.sublayer ?? '', remove }];
      return (await measurer.measure({ compress: [], remove: [], widths }, false)).distance;
    };
    const removedChannels = new Set(parseRanges(half?.remove ?? ''));
    const others = Array.from({ length: 32 }, (_, i) => i).filter((i) => !removedChannels.has(i));
    const own = await measureDistance(half?.remove ?? '');
    expect(own).toBeCloseTo(half?.distance ?? Number.NaN, 6);
    expect(await measureDistance(others.join(','))).toBeGreaterThan(own);
    await measurer.dispose();
  });

  it('are chosen with encodings under several limits, which the written model meets', async () => {
    const limits = ['memory<60%', 'parameters<75%', 'bytes<12kB'].map(parseLimit);
    const plan = await planForBudget(
      {
        ...{ model, table, budget: { limits, context }, rounds: 2, calibration, bundledText: '' },
        ...{ folder: join(folder, 'plan'), ...run },
      },
      unattended,
    );
    expect(plan.widths.length).toBeGreaterThan(0);
    expect(plan.compress.length).toBeGreaterThan(0);
    expect(plan.distance).toBe(Math.min(...plan.tried));
    for (const { cost, most } of plan.limits) {
      expect(cost).toBeLessThanOrEqual(most * (1 + 1e-6));
    }
    const { remove, widths, compress } = plan;
    const out = join(folder, 'written');
    const application = { model, plan: planFor({ path }, { remove, widths, compress }), out };
    await applyPlan({ ...application, overwrite: false, ...run }, unattended);
    const { summary } = await openModelFiles(out);
    const [memory, parameters, bytes] = plan.limits;
    expect(plan.limits[0]?.before).toBe(memoryAt(model.summary, context));
    expect(summary.bytes / (bytes?.cost ?? Number.NaN)).toBeCloseTo(1, 1);
    expect(memoryAt(summary, context) / (memory?.cost ?? Number.NaN)).toBeCloseTo(1, 1);
    expect(parameters?.before).toBe(model.summary.parameters);
  });

  it('are refused if no layer supports width pruning', async () => {
    const asked = { widths: [0.999], blocks: [] };
    expect(() => chosenWidths(model.model, asked)).toFailWith({
      code: 'no-widths',
      field: 'widths',
    });
    const graph = await openModelFiles(onnxFixture('gpt2-merged'));
    expect(() => chosenWidths(graph.model, { ...asked, widths: [0.5] })).toFailWith({
      code: 'no-widths',
      field: 'widths',
    });
    expect(chosenWidths(graph.model, { blocks: [] })).toEqual([]);
  });

  it('of a quantized GGUF file are measured in whole quantization blocks, without other encodings', async () => {
    const quantized = await openModelFiles(ggufFixture('llama.gguf'));
    const settings = { compressions: [], roles: [], blocks: [], widths: [0.6] };
    const profile = await profileSensitivity(
      {
        ...{ model: quantized, calibration, ...run, out: undefined },
        journal: join(folder, 'gguf.journal.jsonl'),
        settings: { ...settings, metric: 'js', precision: 0, seed: 1 },
      },
      { bundledText: '', version: 'test' },
      unattended,
    );
    expect(profile.layers.flatMap(({ entries }) => entries)).toEqual([]);
    const feedforwards = (profile.widths ?? []).filter(({ of }) => of === 'channels');
    expect(feedforwards.map(({ entries }) => entries.map(({ kept }) => kept))).toEqual([
      [64],
      [64],
    ]);
    const limits = [parseLimit('parameters<95%')];
    const plan = await planUnderBudget(profile, { limits, context });
    expect(plan.widths.length).toBeGreaterThan(0);
    const planned = planFor({ path: quantized.path }, { widths: plan.widths });
    const out = join(folder, 'widths-gguf');
    const application = { model: quantized, plan: planned, out, overwrite: false, ...run };
    const { parametersAfter, parametersBefore } = await applyPlan(application, unattended);
    expect(parametersAfter).toBeLessThanOrEqual(0.95 * parametersBefore);
  });

  it('of an ONNX file built of single operators are heads, which are measured and planned', async () => {
    const graph = await openModelFiles(onnxFixture('gpt2-past'));
    const settings = { compressions: [], roles: [], blocks: [], widths: [0.5] };
    const profile = await profileSensitivity(
      {
        ...{ model: graph, calibration, ...run, out: undefined },
        journal: join(folder, 'onnx.journal.jsonl'),
        settings: { ...settings, metric: 'js', precision: 0, seed: 1 },
      },
      { bundledText: '', version: 'test' },
      unattended,
    );
    expect(profile.widths?.map(({ sublayer, of }) => [sublayer, of])).toEqual([
      ['block.0.attention', 'groups'],
      ['block.1.attention', 'groups'],
    ]);
    const distances = profile.widths?.flatMap(({ entries }) => entries) ?? [];
    expect(distances.every(({ kept, distance }) => kept === 2 && distance > 0)).toBe(true);
    const limits = [parseLimit('parameters<96%')];
    const { widths } = await planUnderBudget(profile, { limits, context });
    expect(widths.length).toBeGreaterThan(0);
    const plan = planFor({ path: graph.path }, { widths });
    const out = join(folder, 'widths-onnx');
    const application = { model: graph, plan, out, overwrite: false, ...run };
    const { parametersAfter, parametersBefore } = await applyPlan(application, unattended);
    expect(parametersAfter).toBeLessThanOrEqual(0.96 * parametersBefore);
  });

  it('count in the time that measuring takes', () => {
    const trials = { precision: 0, tokens: 10 };
    const widths = chosenWidths(model.model, { widths: [0.75, 0.5], blocks: [1] });
    const costs = widthCosts(model.model, widths, trials);
    const [attention = 0, feedforward = 0] = model.summary.sublayers
      .slice(2, 4)
      .map((_, i) =>
        model.summary.sublayers.slice(2 + i).reduce((sum, one) => sum + one.parameters, 0),
      );
    expect([...costs]).toEqual([
      ['block.1.attention', 10 * attention],
      ['block.1.feedforward', 2 * 10 * feedforward],
    ]);
  });

  it('compete with removing a sublayer', async () => {
    const budget = { limits: [parseLimit('parameters<85%')], context };
    const plan = await planUnderBudget(table, budget, [
      { sublayer: 'block.1.feedforward', distance: 0 },
    ]);
    expect(plan.remove).toEqual(['block.1.feedforward']);
    expect(plan.widths.map(({ sublayer }) => sublayer)).not.toContain('block.1.feedforward');
  });
});

describe('limits', () => {
  it.each(['bytes<100%', 'memory<0%', 'flops<150%'])('%s is no share', (text) => {
    expect(() => parseLimit(text)).toThrow(`limits: ${text} is not a share of the model`);
  });

  it('report limits that cannot be met, and the remaining share of the whole model', async () => {
    const { bytes } = model.summary;
    const limits = ['parameters<90%', `bytes<${Math.round(bytes / 100)}`].map(parseLimit);
    await expect(planUnderBudget(table, { limits, context })).rejects.toFailWith({
      code: 'budget-not-reachable',
      field: 'limits',
    });
  });

  it('of times are not kept by a profile of some layers', () => {
    const timed = table.layers.map((layer) => ({
      ...layer,
      decodeMsPerToken: 1,
      prefillMsPerToken: 1,
    }));
    const some = { ...table, layers: timed, settings: { ...table.settings, blocks: [0] } };
    const budget = { limits: [parseLimit('decode<1000')], context };
    expect(() => planProblem(some, budget)).toFailWith({
      code: 'profile-times-incomplete',
      field: 'limits',
    });
  });
});

describe('the Pareto front', () => {
  it('ranges from the full model to the smallest, and no plan under the same budget is better', async () => {
    const limits = [{ unit: 'bytes', most: Number.POSITIVE_INFINITY }] as const;
    const removable = table.model.sublayers.map(({ id }, i) => ({
      sublayer: id,
      distance: 0.1 + i,
    }));
    const front = paretoFront(planProblem(table, { limits, context }, removable), 8);
    const [first, last] = [front[0], front.at(-1)];
    expect(first).toMatchObject({
      cost: model.summary.bytes,
      remove: [],
      widths: [],
      compress: [],
    });
    expect(last?.remove).toHaveLength(model.summary.sublayers.length);
    for (const [i, { cost, sumOfDistances }] of front.entries()) {
      const before = front[i - 1];
      expect(cost).toBeLessThan(before?.cost ?? Number.POSITIVE_INFINITY);
      expect(sumOfDistances).toBeGreaterThanOrEqual(before?.sumOfDistances ?? 0);
      const budget = { limits: [{ unit: 'bytes', most: cost * (1 + 1e-9) } as const], context };
      const { sumOfDistances: least } = await planUnderBudget(table, budget, removable);
      expect(sumOfDistances).toBeCloseTo(least, 4);
    }
  });

  it('keeps other limits all along the front', () => {
    const budget = {
      limits: [{ unit: 'bytes', most: Number.POSITIVE_INFINITY }],
      context,
    } as const;
    const free = paretoFront(planProblem(table, budget), 8);
    const most = 0.7 * model.summary.parameters;
    const limits = [...budget.limits, { unit: 'parameters', most } as const];
    const front = paretoFront(planProblem(table, { limits, context }), 8);
    const parameters = front.map((plan) => plan.limits[1]?.cost ?? 0);
    expect(Math.max(...parameters)).toBeLessThanOrEqual(most);
    // int4 alone would be free of it: the other part needs width pruning.
    expect(front[0]?.widths.length).toBeGreaterThan(0);
    expect(front[0]?.sumOfDistances).toBeGreaterThan(free[0]?.sumOfDistances ?? 0);
    expect(front.length).toBeGreaterThan(1);
  });
});
