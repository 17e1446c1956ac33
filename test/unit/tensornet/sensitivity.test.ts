import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import type { Budget } from '../../../extension/core/tensornet/budget/budget-limits';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import { planUnderBudget } from '../../../extension/core/tensornet/budget/plan-under-budget';
import { fitCosts } from '../../../extension/core/tensornet/costs/machine-costs';
import { summarizeFindings } from '../../../extension/core/tensornet/sensitivity/findings';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel } from '../random-model';

const calibration = { file: 'random', sequences: 3, length: 12 };
const environment = { bundledText: '', version: 'test' };

describe('the sensitivity profile', () => {
  let model: string;
  let folder: string;
  let table: SensitivityProfile;

  const run = async (
    name: string,
    context: JobContext<SensitivityEvent> = unattended,
  ): Promise<SensitivityProfile> =>
    profileSensitivity(
      {
        model: await openModelFiles(model),
        calibration,
        settings: {
          compressions: [
            { method: 'lowrank', ratio: 0.5 },
            { method: 'lowrank', setting: 1 },
            { method: 'int4', setting: 16 },
          ],
          metric: 'js',
          roles: [],
          blocks: [],
          precision: 0,
          seed: 1,
        },
        device: 'cpu',
        memoryBytes: 1 << 28,
        out: join(folder, `${name}.sensitivity.json`),
        journal: join(folder, `${name}.journal.jsonl`),
      },
      environment,
      context,
    );

  beforeAll(async () => {
    model = await makeRandomModel({ seed: 5, blocks: 3 });
    folder = await mkdtemp(join(tmpdir(), 'espalier-sensitivity-'));
    table = await run('whole');
  });

  it('measures every layer by every method and setting', () => {
    expect(table.layers).toHaveLength(3 * 7);
    for (const { entries, out, in: input } of table.layers) {
      expect(entries.map(({ method, setting }) => `${method}:${setting}`)).toEqual([
        expect.stringMatching(/^lowrank:\d+$/),
        'lowrank:1',
        'int4:16',
      ]);
      const [half, one, four] = entries;
      expect(half?.parameters).toBeLessThanOrEqual(0.5 * out * input);
      expect(one?.distance).toBeGreaterThan(0);
      expect(one?.error).toBeGreaterThan(four?.error ?? Number.NaN);
      expect(one?.distance).toBeGreaterThan(four?.distance ?? Number.NaN);
      expect(one?.outputError).toBeLessThan(1);
    }
    expect(table.original).toBe(0);
  });

  it('reports time and work of an MPO in the order that is faster here', async () => {
    const folders = await Promise.all(
      [1e-6, 1e6].map(async (time): Promise<SensitivityProfile> => {
        const costsFolder = join(folder, `costs-${time}`);
        await mkdir(costsFolder);
        const sample = { calls: 1, bytes: 1, macs: 1000, moved: 1, milliseconds: 1 };
        const chain = { ...sample, kernel: 'chain' as const, milliseconds: time };
        const costs = fitCosts('cpu', [{ ...sample, kernel: 'dense' }, chain]);
        await writeFile(join(costsFolder, 'cpu.json'), JSON.stringify(costs));
        return profileSensitivity(
          {
            model: await openModelFiles(model),
            calibration,
            settings: {
              compressions: [{ method: 'mpo', setting: 1 }],
              metric: 'js',
              roles: ['up'],
              blocks: [0],
              precision: 0,
              seed: 1,
            },
            device: 'cpu',
            memoryBytes: 1 << 28,
            out: undefined,
            journal: join(folder, `mpo-${time}.journal.jsonl`),
          },
          { ...environment, costsFolder },
          unattended,
        );
      }),
    );
    const [chained, contracted] = folders.map(({ layers }) => {
      const [layer] = layers;
      const [entry] = layer?.entries ?? [];
      return {
        work: (entry?.flopsPerToken ?? 0) / (layer?.flopsPerToken ?? 0),
        time: (entry?.decodeMsPerToken ?? 0) / (layer?.decodeMsPerToken ?? 0),
        run: entry?.mpoRun,
      };
    });
    expect(chained?.work).toBeLessThan(0.5);
    expect(chained?.time).toBeLessThan(0.5);
    expect(chained?.run).toBe('chained');
    expect(contracted).toEqual({ work: 1, time: 1, run: 'contracted' });
  });

  it('has no times for convolutions, whose rows are positions instead of tokens', async () => {
    const costsFolder = join(folder, 'costs-of-maps');
    await mkdir(costsFolder);
    const sample = { calls: 1, bytes: 1, macs: 1000, moved: 1, milliseconds: 1 };
    const costs = fitCosts('cpu', [{ ...sample, kernel: 'dense' }]);
    await writeFile(join(costsFolder, 'cpu.json'), JSON.stringify(costs));
    const profile = async (path: string): Promise<SensitivityProfile> =>
      profileSensitivity(
        {
          ...{
            model: await openModelFiles(path),
            calibration,
            device: 'cpu',
            memoryBytes: 1 << 28,
            out: undefined,
          },
          settings: {
            compressions: [{ method: 'lowrank', setting: 1 }],
            metric: 'norm',
            roles: [],
            blocks: [0],
            precision: 0,
            seed: 1,
          },
          journal: join(folder, 'maps.journal.jsonl'),
        },
        { ...environment, costsFolder },
        unattended,
      );
    const times = ({ layers }: SensitivityProfile): number[] =>
      layers.flatMap(({ decodeMsPerToken, entries }) => [
        decodeMsPerToken,
        ...entries.map((entry) => entry.decodeMsPerToken),
      ]);
    const convolutions = await profile(onnxFixture('mobilenet-legacy'));
    expect(convolutions.layers.length).toBeGreaterThan(1);
    expect(new Set(times(convolutions))).toEqual(new Set([0]));
    expect(Math.min(...convolutions.layers.map((one) => one.flopsPerToken))).toBeGreaterThan(0);
    await expect(
      planUnderBudget(convolutions, { limits: [{ unit: 'decode', ratio: 0.5 }] }),
    ).rejects.toFailWith({ code: 'profile-times-missing', field: 'unit' });
    expect(Math.min(...times(await profile(model)))).toBeGreaterThan(0);
  });

  it('is written as a document that can be read again', async () => {
    const file = join(folder, 'whole.sensitivity.json');
    expect(parseSensitivityProfile(await readFile(file, 'utf8'), file)).toEqual(table);
    expect(() => parseSensitivityProfile('{"format":"espalier.sensitivity"}', file)).toThrow(file);
  });

  it('resumes to the same result', async () => {
    const cancellation = { isCancellationRequested: false };
    let seen = 0;
    const stopping: JobContext<SensitivityEvent> = {
      ...unattended,
      cancellation,
      emit: ({ kind }) => {
        seen += kind === 'sensitivity-entry' ? 1 : 0;
        cancellation.isCancellationRequested = seen > 20;
      },
    };
    await expect(run('stopped', stopping)).rejects.toThrow(CancelledError);
    expect((await readdir(folder)).filter((name) => name.endsWith('.forms'))).toEqual([]);
    const journal = join(folder, 'stopped.journal.jsonl');
    expect(existsSync(journal)).toBe(true);
    let measured = 0;
    const resumed = await run('stopped', {
      ...unattended,
      emit: ({ kind }) => {
        measured += kind === 'sensitivity-entry' ? 1 : 0;
      },
    });
    expect(measured).toBeGreaterThan(0);
    expect(measured).toBeLessThanOrEqual(3 * 21 - seen);
    expect(resumed.layers).toEqual(table.layers);
    expect(existsSync(journal)).toBe(false);
  });

  it('refuses roles that the model lacks', async () => {
    const settings = { ...table.settings, roles: ['query-key-value' as const] };
    const job = {
      model: await openModelFiles(model),
      calibration,
      settings,
      device: 'cpu' as const,
      memoryBytes: 1 << 28,
      out: undefined,
      journal: join(folder, 'none.journal.jsonl'),
    };
    await expect(profileSensitivity(job, environment, unattended)).rejects.toThrow(
      'It has query, key, value, output, gate, up, down in 3 blocks.',
    );
  });

  it('compares depths and roles at about half of the bytes', () => {
    const [lowRank] = summarizeFindings(table);
    expect(lowRank?.method).toBe('lowrank');
    expect(lowRank?.byDepth.map(({ group, layers }) => [group, layers])).toEqual([
      ['early', 7],
      ['middle', 7],
      ['late', 7],
    ]);
    const most = Math.max(...(lowRank?.byDepth.map(({ distance }) => distance) ?? []));
    expect(lowRank?.earlyIsMostSensitive).toBe(lowRank?.byDepth[0]?.distance === most);
  });

  it('plans within a budget, at a higher loss for a smaller one', async () => {
    const sums: number[] = [];
    for (const ratio of [0.9, 0.7, 0.5]) {
      const plan = await planUnderBudget(table, { limits: [{ unit: 'bytes', ratio }] });
      expect(plan.cost).toBeLessThanOrEqual(ratio * plan.costBefore * (1 + 1e-6));
      expect(plan.costBefore).toBe(table.model.bytes);
      expect(plan.remove).toEqual([]);
      sums.push(plan.sumOfDistances);
    }
    expect([...sums].sort((a, b) => a - b)).toEqual(sums);
    await expect(
      planUnderBudget(table, { limits: [{ unit: 'bytes', ratio: 0.01 }] }),
    ).rejects.toFailWith({ code: 'budget-not-reachable', field: 'budget' });
    await expect(
      planUnderBudget(table, { limits: [{ unit: 'bytes', ratio: 1.5 }] }),
    ).rejects.toFailWith({ code: 'share-invalid', field: 'budget' });
  });

  it('removes a sublayer if that costs least', async () => {
    const removable = [{ sublayer: 'block.1.attention', distance: 0 }];
    const budget: Budget = { limits: [{ unit: 'parameters', ratio: 0.95 }] };
    const { compress, remove } = await planUnderBudget(table, budget, removable);
    expect(remove).toEqual(['block.1.attention']);
    expect(compress.filter(({ tensor }) => tensor.includes('layers.1.self_attn'))).toEqual([]);
  });

  it('keeps the best plan by real measurement', async () => {
    const forms = join(folder, 'plan-forms');
    const plan = await planForBudget(
      {
        model: await openModelFiles(model),
        table,
        budget: { limits: [{ unit: 'bytes', ratio: 0.6 }] },
        removable: [{ sublayer: 'block.1.feedforward', distance: 0.05 }],
        rounds: 3,
        calibration,
        bundledText: '',
        folder: forms,
        device: 'cpu',
        memoryBytes: 1 << 28,
      },
      unattended,
    );
    expect(plan.distance).toBe(Math.min(...plan.tried));
    expect(plan.distance).toBeGreaterThan(0);
    expect(plan.cost).toBeLessThanOrEqual(0.6 * plan.costBefore * (1 + 1e-6));
    expect(existsSync(forms)).toBe(false);
  });
});
