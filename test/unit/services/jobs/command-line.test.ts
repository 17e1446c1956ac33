import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addFields } from '../../../../extension/cli/options';
import type { Plan } from '../../../../extension/core/plans/plan';
import { buildRequest } from '../../../../extension/core/operations/build-request';
import { compress } from '../../../../extension/core/operations/compress';
import { profile } from '../../../../extension/core/operations/profile';
import { exportData } from '../../../../extension/core/operations/export-data';
import { dataDiet } from '../../../../extension/core/operations/data-diet';
import { prune } from '../../../../extension/core/operations/prune';
import { scoreData } from '../../../../extension/core/operations/score-data';
import { synthesize } from '../../../../extension/core/operations/synthesize';
import { repair } from '../../../../extension/core/operations/repair';
import { sensitivity } from '../../../../extension/core/operations/sensitivity';
import { toCommandLine } from '../../../../extension/services/jobs/command-line';
import type { JobRecord } from '../../../../extension/services/jobs/job-record';
import type { Operation, RequestOf } from '../../../../extension/services/jobs/operations';

function makeLine<O extends Operation>(operation: O, request: RequestOf<O>): string {
  return toCommandLine({ operation, request } as unknown as JobRecord);
}

describe('a job as a command line', () => {
  it('has the flags that ask for the same', () => {
    const request = buildRequest(profile, {
      ...{ model: '/models/my model', out: "/it's/p.layerprofile.json", calibration: 'random' },
      ...{ sequences: 8, ratio: 0.25, protect: ['block.0', 'block.1'], baselines: false },
    });
    const line = makeLine('profile', request);
    expect(line).toMatch(/^espalier profile /);
    for (const words of [
      "'/models/my model'",
      String.raw`--out '/it'\''s/p.layerprofile.json'`,
      ...['--sequences 8', '--ratio 0.25', '--protect block.0,block.1', '--no-baselines'],
    ]) {
      expect(line).toContain(words);
    }
    // Defaults go without saying.
    expect(line).not.toContain('--memory');
  });

  it('of an evolution has no model', () => {
    const request = buildRequest(synthesize, { out: '/s', iterations: 2, data: 'balanced' });
    expect(makeLine('synthesize', request)).toBe(
      'espalier synthesize --out /s --iterations 2 --data balanced',
    );
  });

  it('of a sensitivity profile has methods in their syntax', () => {
    const request = buildRequest(sensitivity, {
      ...{ model: '/m', out: '/m.sensitivity.json', methods: ['int4:32', 'lowrank:40%'] },
      ...{ blocks: ['0', '2'], embeddings: true, head: false, metric: 'kl' },
    });
    expect(makeLine('sensitivity', request)).toBe(
      'espalier sensitivity /m --out /m.sensitivity.json --methods int4:32,lowrank:40% --metric kl --blocks 0,2 --embeddings',
    );
  });

  it('has names with a comma as JSON, which is read again', () => {
    const request = buildRequest(scoreData, { data: '/d', out: '/s', classes: ['a, b', 'c'] });
    expect(makeLine('score-data', request)).toContain(`--classes '["a, b","c"]'`);
    const typed: Record<string, unknown> = {};
    const command = new Command();
    addFields(command, scoreData.fields, typed);
    command.parse(['--classes', '["a, b","c"]', '--classes', 'd,e'], { from: 'user' });
    expect(typed['classes']).toEqual(['a, b', 'c', 'd', 'e']);
  });

  it('of a comparison of subsets has its lists', () => {
    const request = buildRequest(dataDiet, {
      ...{ data: '/d', out: '/d.datadiet.json', score: ['grand@0', 'el2n@2'], keep: [0.25] },
      ...{ policy: ['window'], offset: [0.1, 0.2], unbalanced: true, classes: ['a', 'b c'] },
    });
    expect(makeLine('data-diet', request)).toBe(
      "espalier data-diet --data /d --out /d.datadiet.json --score grand@0,el2n@2 --keep 0.25 --policy window --offset 0.1,0.2 --unbalanced --classes 'a,b c'",
    );
  });

  it('for a dataset has no model', () => {
    const request = buildRequest(scoreData, {
      ...{ data: '/d', imageSize: '32x16', model: 'cnn', score: 'grand', out: '/d.scores.json' },
    });
    const line = makeLine('score-data', request);
    expect(line).toMatch(/^espalier score-data --data \/d /);
    for (const words of ['--image-size 32x16', '--model cnn', '--score grand']) {
      expect(line).toContain(words);
    }
  });

  it('names a plan by the document that the command reads', () => {
    const plan: Plan = {
      ...{ format: 'espalier.plan', version: 1, model: { path: '/m' } },
      remove: ['block.1.attention'],
    };
    const pruned = makeLine('prune', buildRequest(prune, { model: '/m', out: '/o', plan }));
    const [command, ...document] = pruned.split('\n');
    expect(command).toBe("espalier prune --config /dev/stdin <<'REQUEST'");
    expect(JSON.parse(document.slice(0, -1).join('\n'))).toEqual({ model: '/m', out: '/o', plan });
    const compressed = makeLine(
      'compress',
      buildRequest(compress, {
        ...{ model: '/m', out: '/o o', format: 'safetensors', overwrite: true, plan },
      }),
    );
    expect(compressed).toMatch(/^espalier compress --config \/dev\/stdin <<'REQUEST'\n\{/);
    expect(compressed).toMatch(/"out": "\/o o"[^]*"overwrite": true/);
  });

  it('contains --no flags for disabled defaults, and the chosen values of automatic options', () => {
    const compressed = buildRequest(compress, {
      ...{ model: '/m', out: '/o', method: 'lowrank:50%', calibrate: false, quality: false },
    });
    expect(makeLine('compress', compressed)).toBe(
      'espalier compress /m --method lowrank:50% --no-calibration --out /o --no-quality',
    );
    const repaired = buildRequest(repair, {
      ...{ model: '/m', teacher: '/t', out: '/o', scope: 'sublayers' },
    });
    expect(makeLine('repair', repaired)).toBe(
      'espalier repair /m --teacher /t --out /o --scope sublayers',
    );
  });

  it('contains the export of a data map, with marked examples', () => {
    const exported = buildRequest(exportData, {
      ...{ data: '/d', scores: '/s.json', keep: 0.5, leaveOut: [3, 9], out: '/o' },
    });
    expect(makeLine('export-data', exported)).toBe(
      'espalier export-data --data /d --out /o --scores /s.json --keep 0.5 --leave-out 3,9',
    );
  });
});
