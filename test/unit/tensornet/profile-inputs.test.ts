import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fingerprint, loadCalibration } from '../../../extension/core/data/calibration';
import type { CalibrationRequest } from '../../../extension/core/data/calibration';
import { unattended } from '../../../extension/core/jobs/job';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import { loadProfileInputs } from '../../../extension/core/tensornet/statistics/profile-inputs';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const path = fixture('llama-gqa-untied');
const text = 'the pear tree against the wall stays flat when every branch is tied early and low ';
/** Tokens measured: fewer than any layer has outputs. */
const tokens = 4;
const compressions = [{ method: 'lowrank', setting: tokens }] as const;
let model: LayeredModel;

function file(name: string, content: string): string {
  const place = join(folder, name);
  writeFileSync(place, content);
  return place;
}

beforeAll(async () => {
  model = await openModel(path);
});

describe('inputs that compressions are fitted to', () => {
  const load = async (
    request: CalibrationRequest,
    method: 'lowrank' | 'int8' = 'lowrank',
  ): Promise<Awaited<ReturnType<typeof loadProfileInputs>> & { warnings: string[] }> => {
    const warnings: string[] = [];
    const settings = { seed: 1, fitted: [{ in: 192, method }] };
    const loaded = await loadProfileInputs(request, model, '', settings, (warning) => {
      warnings.push(inEnglish(warning));
    });
    return { ...loaded, warnings };
  };

  it('are the windows after the measured ones, the number that compression uses', async () => {
    const long = file('long.txt', text.repeat(400));
    const request = { file: long, sequences: 2, length: 32 };
    const { measured, fitting, warnings } = await load(request);
    const first = await loadCalibration(request, model, '');
    expect(measured.summary).toEqual(first.summary);
    // 16 tokens for each input of low rank.
    expect(fitting?.inputs).toHaveLength((16 * 192) / 32);
    expect((await load(request, 'int8')).fitting?.inputs).toHaveLength((10 * 256) / 32);
    const all = await loadCalibration({ ...request, sequences: 2 + 96 }, model, '');
    expect(fitting?.inputs).toEqual(all.sequences.slice(2));
    expect(warnings).toEqual([]);
  });

  it('are fewer, or the same, if the text is too short, with a warning', async () => {
    const short = file('short.txt', text.repeat(3));
    const some = await load({ file: short, sequences: 2, length: 8 });
    const found = some.fitting?.inputs.length ?? 0;
    expect(found).toBeGreaterThan(1);
    expect(some.warnings.join()).toContain(`Only ${found} sequences are left to fit`);
    const whole = { file: short, sequences: 2 + found, length: 8 };
    const none = await load(whole);
    expect(none.fitting).toBeUndefined();
    expect(none.warnings.join()).toContain('seem better than they are');
    expect((await load(whole, 'int8')).warnings).toEqual([]);
  });

  it('are other windows of those chosen by scores', async () => {
    const long = file('scored.txt', text.repeat(40));
    const windows = await loadCalibration({ file: long, sequences: 20, length: 8 }, model, '');
    for (const policy of ['max', 'min', 'window', 'random'] as const) {
      const scores = file(
        `${policy}.textscores.json`,
        JSON.stringify({
          format: 'espalier.textscores',
          version: 1,
          text: {
            source: long,
            length: 8,
            fingerprint: fingerprint(windows.sequences),
          },
          score: 'el2n',
          definition: '',
          scores: windows.sequences.map((_, i) => (i * 7) % 20),
          model: model.summary,
          seconds: 1,
          created: '2026-01-01T00:00:00.000Z',
          versions: { espalier: 'test', onnxruntime: 'test', node: 'test' },
        }),
      );
      const request = { sequences: 6, length: 8, scores: { file: scores, policy } };
      const { measured, fitting } = await load(request);
      const alone = await loadCalibration(request, model, '', 1);
      expect(measured.inputs).toEqual(alone.sequences);
      expect(fitting?.inputs).toHaveLength(14);
      const seen = new Set([...measured.inputs, ...(fitting?.inputs ?? [])].map(String));
      expect(seen.size).toBe(new Set(windows.sequences.map(String)).size);
    }
  });

  it('are other examples if these are random', async () => {
    const vision = await openModel(fixture('../encoders/vit-plain'));
    const request = { file: 'random', sequences: 3, length: 6 };
    const settings = { seed: 5, fitted: [] };
    const { measured, fitting } = await loadProfileInputs(request, vision, '', settings, () => {
      // Random inputs say what sizes they have.
    });
    const again = await loadProfileInputs(
      { ...request, sequences: 13 },
      vision,
      '',
      settings,
      () => undefined,
    );
    expect([...measured.inputs, ...(fitting?.inputs ?? [])]).toEqual(again.measured.inputs);
  });
});

describe('distances', () => {
  const profile = async (calibration: string): Promise<[SensitivityProfile, readonly string[]]> => {
    const warnings: string[] = [];
    const table = await profileSensitivity(
      {
        model: await openModelFiles(path),
        calibration: { file: calibration, sequences: 1, length: tokens },
        settings: { compressions, metric: 'js', roles: [], blocks: [], precision: 0, seed: 1 },
        device: 'cpu',
        memoryBytes: 1 << 28,
        out: undefined,
        journal: join(folder, 'journal.jsonl'),
      },
      { bundledText: '', version: 'test' },
      {
        ...unattended,
        warn: (warning) => {
          warnings.push(inEnglish(warning));
        },
      },
    );
    return [table, warnings];
  };
  const largest = ({ layers }: SensitivityProfile): number[] =>
    layers.map(({ entries: [entry] }) => entry?.distance ?? Number.NaN);

  it('with a rank equal to the number of tokens are not zero, unless no other tokens exist', async () => {
    const [apart, silent] = await profile(file('apart.txt', text.repeat(80)));
    expect(silent).toEqual([]);
    expect(Math.min(...largest(apart))).toBeGreaterThan(1e-5);
    expect(apart.calibration.tokens).toBe(tokens);
    expect(apart.fitting?.tokens).toBeGreaterThan(100);
    expect(apart.fitting?.fingerprint).not.toBe(apart.calibration.fingerprint);
    const read = JSON.stringify(apart);
    expect(parseSensitivityProfile(read, 'table')).toEqual(apart);

    const { sequences } = await loadCalibration(
      { file: join(folder, 'apart.txt'), sequences: 1, length: tokens },
      model,
      '',
    );
    const only = file('only.txt', text.slice(0, 14));
    const [same, warnings] = await profile(only);
    expect(same.calibration.fingerprint).toBe(fingerprint(sequences));
    expect(warnings.join()).toContain('seem better than they are');
    expect(same.fitting).toBeUndefined();
    expect(Math.max(...largest(same))).toBeLessThan(1e-6);
  });

  it('of plans are measured on other tokens than these are fitted to, too', async () => {
    const calibration = file('plan.txt', text.repeat(40));
    const [table] = await profile(calibration);
    const plan = await planForBudget(
      {
        model: await openModelFiles(path),
        table,
        budget: { limits: [{ unit: 'bytes', ratio: 0.9 }] },
        rounds: 0,
        calibration: { file: calibration, sequences: 1, length: tokens },
        bundledText: '',
        folder: join(folder, 'plan'),
        device: 'cpu',
        memoryBytes: 1 << 28,
      },
      unattended,
    );
    expect(plan.compress.length).toBeGreaterThan(0);
    expect(plan.distance).toBeGreaterThan(1e-5);
  });
});
