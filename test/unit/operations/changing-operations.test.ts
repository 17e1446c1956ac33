import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import type { RepairResult } from '../../../extension/core/pipelines/compression/repair-model';
import { patchModel } from '../../../extension/core/pipelines/patching/patch-model';
import type { PatchResult } from '../../../extension/core/pipelines/patching/patch-model';
import { unattended } from '../../../extension/core/jobs/job';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import { asFlag, buildRequest } from '../../../extension/core/operations/build-request';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { patch } from '../../../extension/core/operations/patch';
import { repair } from '../../../extension/core/operations/repair';
import { defaultFitting } from '../../../extension/core/symbolic/patch/fit-branch';
import { defaultPatchLimits } from '../../../extension/core/symbolic/patch/compete';
import {
  repairEfforts,
  defaultRepair,
} from '../../../extension/core/tensornet/repair/repair-settings';

vi.mock(import('../../../extension/core/pipelines/compression/repair-model'), async (original) => ({
  ...(await original()),
  repairModel: vi.fn(async () => Promise.resolve({ written: null } as RepairResult)),
}));
vi.mock(import('../../../extension/core/pipelines/patching/patch-model'), async (original) => ({
  ...(await original()),
  patchModel: vi.fn(async () => Promise.resolve({ written: null } as PatchResult)),
}));

const context: OperationContext = {
  ...unattended,
  environment: {
    ...{ samples: '/samples', version: 'test', costsFolder: '' },
    bundles: '',
    open: async (path) =>
      Promise.resolve({ path, summary: { maxPositions: 64 } } as unknown as OpenedModel),
  },
};

beforeEach(() => {
  vi.clearAllMocks();
});

describe('repair', () => {
  const given = { model: '/m', teacher: '/t', out: '/o' };
  const asked = async (more: object): Promise<Parameters<typeof repairModel>[0] | undefined> => {
    await repair.run(buildRequest(repair, { ...given, ...more }), context);
    return vi.mocked(repairModel).mock.calls.at(-1)?.[0];
  };

  it('has defaults from its effort and from the model', async () => {
    const request = await asked({});
    expect(request).toMatchObject({
      ...{ model: { path: '/m' }, teacher: { path: '/t' }, out: '/o', overwrite: false },
      text: { sequences: repairEfforts.standard.sequences, length: 64, upTo: true },
      bundledText: join('/samples', 'calibration.txt'),
      settings: defaultRepair,
      device: 'auto',
    });
    expect(request?.memoryBytes).toBeGreaterThan(0);
    expect(request).not.toHaveProperty('trains');
    expect(request).not.toHaveProperty('scope');
    expect(request).toMatchObject({ compressedScope: 'both', reads: 512 });
    expect(request).not.toHaveProperty('epochs');
    const quick = await asked({ effort: 'quick' });
    expect(quick).toMatchObject({ compressedScope: 'sublayers' });
    expect(quick?.text.sequences).toBe(repairEfforts.quick.sequences);
  });

  it('forwards its arguments', async () => {
    const epochs = 5;
    const training = { batch: 2, rate: 0.1, seed: 7 };
    const request = await asked({
      ...{
        ...training,
        epochs,
        train: 'all',
        scope: 'both',
        sequences: 9,
        length: 8,
        overwrite: true,
      },
      ...{ calibration: '/text.txt', device: 'cpu', memory: '1GiB' },
    });
    expect(request).toMatchObject({
      ...{ trains: 'all', scope: 'both', overwrite: true, device: 'cpu', memoryBytes: 2 ** 30 },
      ...{ epochs, settings: { ...defaultRepair, ...training } },
      text: { file: '/text.txt', sequences: 9, length: 8 },
    });
    expect(request?.text.upTo).toBeUndefined();
  });

  it.each([
    [{ epochs: -1 }, { code: 'value-invalid' as const, field: '--epochs' }],
    [{ epochs: 1.5 }, { code: 'value-invalid' as const, field: '--epochs' }],
    [{ batch: 0 }, { code: 'value-invalid' as const, field: '--batch' }],
    [{ rate: 0 }, { code: 'value-invalid' as const, field: '--rate' }],
    [{ rate: Number.NaN }, { code: 'value-invalid' as const, field: '--rate' }],
    [{ seed: -1 }, { code: 'value-invalid' as const, field: '--seed' }],
    [
      { effort: 'quick', sequences: 9 },
      { code: 'flags-conflict' as const, field: '--sequences, --effort' },
    ],
    [{ teacher: undefined }, { code: 'field-required' as const, field: '--teacher' }],
    [
      { calibrationPolicy: 'max' },
      { code: 'flag-needs-other' as const, field: '--calibration-policy' },
    ],
    [
      { calibrationScores: '/s', length: 8 },
      { code: 'flags-conflict' as const, field: '--length, --calibration-scores' },
    ],
  ] as const)('refuses %o', (wrong, problem) => {
    const name = asFlag(repair.fields);
    expect(() => buildRequest(repair, { ...given, ...wrong } as never, { name })).toFailWith(
      problem,
    );
  });
});

describe('patch', () => {
  const given = { model: '/m', sublayer: 'block.0.attention', out: '/o' };
  const asked = async (more: object): Promise<Parameters<typeof patchModel>[0] | undefined> => {
    await patch.run(buildRequest(patch, { ...given, ...more }), context);
    return vi.mocked(patchModel).mock.calls.at(-1)?.[0];
  };

  it('has defaults, limited by the length of the text', async () => {
    expect(await asked({})).toMatchObject({
      ...{ sublayer: 'block.0.attention', anyway: false, seed: 0, fitting: defaultFitting },
      text: { sequences: 128, length: 64, upTo: true },
      limits: defaultPatchLimits,
    });
  });

  it('forwards its arguments', async () => {
    const request = await asked({
      ...{ graphs: 2, programs: 30, epochs: 4, batch: 8, rate: 0.5, seed: 3, anyway: true },
      ...{ plan: '/p.plan.json', format: 'onnx', overwrite: true, calibration: 'random' },
      ...{ sequences: 6, length: 12, device: 'cpu', memory: '1GiB' },
    });
    expect(request).toMatchObject({
      ...{ limits: { graphs: 2, programs: 30 }, fitting: { epochs: 4, batch: 8, rate: 0.5 } },
      ...{ seed: 3, anyway: true, plan: '/p.plan.json', format: 'onnx', overwrite: true },
      text: { file: 'random', sequences: 6, length: 12 },
      ...{ device: 'cpu', memoryBytes: 2 ** 30 },
    });
  });

  it.each([
    [{ rate: -1 }, { code: 'value-invalid' as const, field: '--rate' }],
    [{ epochs: 0 }, { code: 'value-invalid' as const, field: '--epochs' }],
    [{ batch: 0.5 }, { code: 'value-invalid' as const, field: '--batch' }],
    [{ graphs: 0 }, { code: 'value-invalid' as const, field: '--graphs' }],
    [{ sublayer: undefined }, { code: 'field-required' as const, field: '--sublayer' }],
  ])('refuses %o before any work', (wrong, problem) => {
    const name = asFlag(patch.fields);
    expect(() => buildRequest(patch, { ...given, ...wrong } as never, { name })).toFailWith(
      problem,
    );
  });
});
