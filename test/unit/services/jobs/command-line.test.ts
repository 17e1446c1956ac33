import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultTraining } from '../../../../extension/core/datadiet/training-settings';
import { defaultSettings } from '../../../../extension/core/prune/options';
import { toCommandLine } from '../../../../extension/services/jobs/command-line';
import type { JobRecord } from '../../../../extension/services/jobs/job-record';
import type { Operation, RequestOf } from '../../../../extension/services/jobs/operations';
import { temporaryFolder } from '../../temporary-folder';

const run = { device: 'cpu', memoryBytes: 4 * 2 ** 30 } as const;

function lineOf<O extends Operation>(operation: O, request: RequestOf<O>): string | undefined {
  return toCommandLine({ operation, request } as unknown as JobRecord);
}

describe('a job as a command line', () => {
  it('has the flags that ask for the same', () => {
    const line = lineOf('profile', {
      ...{ model: '/models/my model', ...run, out: "/it's/p.layerprofile.json" },
      calibration: { sequences: 8, length: 64, file: 'random' },
      settings: { ...defaultSettings, protect: ['block.0', 'block.1'], baselines: [] },
    });
    expect(line).toBe(
      [
        `espalier profile '/models/my model' --calibration random --sequences 8 --length 64`,
        `--metric ${defaultSettings.metric} --search exact --granularity sublayer --ratio 0.25`,
        '--exclude 0 --protect block.0,block.1 --no-baselines --seed 0 --device cpu',
        String.raw`--memory 4096MiB --out '/it'\''s/p.layerprofile.json'`,
      ].join(' '),
    );
  });

  it('of a data set has no model', () => {
    const line = lineOf('scoreData', {
      ...{ data: '/d', options: { imageSize: { height: 32, width: 16 } }, proxy: { model: 'mlp' } },
      ...{ score: 'el2n', runs: 2, epoch: 3, training: defaultTraining, out: '/d.scores.json' },
    });
    expect(line).toMatch(
      /^espalier score-data --data \/d --image-size 32x16 --model mlp --score el2n/,
    );
  });

  it('writes the plan that a request holds', () => {
    const folder = temporaryFolder();
    const out = join(folder, 'smaller one');
    const line = lineOf('prune', {
      ...{ model: '/m', out, format: 'safetensors', overwrite: false, ...run },
      plan: {
        ...{ format: 'espalier.plan', version: 1, model: { path: 'm' } },
        remove: ['block.1.attention'],
      },
    });
    const [shell = '', command] = line?.split(/\n(?=espalier)/) ?? [];
    execFileSync('sh', ['-c', shell]);
    expect(JSON.parse(readFileSync(`${out}.plan.json`, 'utf8'))).toMatchObject({
      model: { path: '/m' },
      remove: ['block.1.attention'],
    });
    expect(command).toBe(
      `espalier prune /m --plan '${out}.plan.json' --format safetensors --device cpu --memory 4096MiB --out '${out}'`,
    );
  });

  it('is not there where the command line has no such command', () => {
    const request = { scores: '/s', out: '/o', request: { what: 'scores', form: 'npy' } } as const;
    expect(lineOf('export', request)).toBeUndefined();
  });
});
