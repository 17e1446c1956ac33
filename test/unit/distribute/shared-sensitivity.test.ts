import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalEngine } from '../../../extension/core/distribute/local-engine';
import type { Engine } from '../../../extension/core/distribute/work-item';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import type {
  SensitivityProfile,
  SensitivitySettings,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { LayerWork } from '../../../extension/core/tensornet/sensitivity/layer-work';
import { createTiming } from '../../../extension/core/tensornet/sensitivity/timing';
import { buildChild } from '../build-child';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { InProcessEngine } from './in-process-engine';

const folder = temporaryFolder();
const settings: SensitivitySettings = {
  compressions: [
    { method: 'lowrank', ratio: 0.5 },
    { method: 'int4', setting: 16 },
  ],
  ...{ metric: 'js', roles: ['query', 'up', 'down'], blocks: [], precision: 0.3, seed: 1 },
  widths: [0.5],
  embeddingAndHead: ['embedding', 'head'],
};

describe('a sensitivity profile that several workers share', () => {
  let model: string;
  let alone: SensitivityProfile;

  const run = async (name: string, engine?: Engine): Promise<SensitivityProfile> => {
    const { created, seconds, sublayerEvaluations, ...table } = await profileSensitivity(
      {
        model: await openModelFiles(model),
        calibration: { file: 'random', sequences: 3, length: 12 },
        settings,
        ...{ device: 'cpu', memoryBytes: 1 << 28, out: undefined, engine },
        journal: join(folder, `${name}.journal.jsonl`),
      },
      { bundledText: '', version: 'test' },
      unattended,
    );
    expect(existsSync(join(folder, `${name}.journal.jsonl.forms`))).toBe(false);
    return {
      ...table,
      created: created.slice(0, 0),
      seconds: 0 * seconds,
      sublayerEvaluations: 0 * sublayerEvaluations,
    };
  };

  beforeAll(async () => {
    model = await makeRandomModel({ seed: 6, blocks: 2 });
    alone = await run('alone');
  });

  afterAll(async () => rm(model, { recursive: true }));

  it.each([2, 4])('equals one process: %i workers', async (workers) => {
    const engine = new InProcessEngine(workers);
    expect(await run(`${workers}`, engine)).toEqual(alone);
    expect(engine.begun.every((pieces) => pieces > 0)).toBe(true);
  });

  it('is measured the same by a worker that was stopped on its way to a later layer', async () => {
    const inputs = [Int32Array.of(1, 2, 3, 4, 5, 6), Int32Array.of(9, 8, 7, 6, 5, 4)];
    const opened = await openModelFiles(model);
    const work = new LayerWork({
      ...{ model: opened, device: 'cpu', memoryBytes: 1 << 28, settings },
      ...{ measured: inputs, fitting: inputs, timing: createTiming(undefined) },
      ...{ folder: join(folder, 'forms'), onWork: () => undefined },
    });
    const measure = async (sublayer: number, steps: number): Promise<unknown> => {
      let left = steps;
      const cancellation = {
        get isCancellationRequested(): boolean {
          return left-- <= 0;
        },
      };
      const [layer] = opened.model.sublayer(sublayer).linearLayers;
      const { entries } = await work.do(
        { kind: 'layer', sublayer, id: layer?.id ?? '' },
        { cancellation },
      );
      return entries;
    };
    const first = await measure(0, Infinity);
    for (const steps of Array.from({ length: 8 }, (_, i) => i)) {
      await expect(measure(2, steps)).rejects.toThrow(CancelledError);
      expect(await measure(0, Infinity), `after ${steps} steps`).toEqual(first);
    }
    await work.dispose();
  });

  it('equals one process when run by child processes', async () => {
    expect(await run('processes', new LocalEngine(await buildChild('pieces'), 2))).toEqual(alone);
  });
});
