import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Drift } from '../../../extension/core/evaluate/drift';
import type { RepairResult } from '../../../extension/core/pipelines/compression/repair-model';
import type { Plan } from '../../../extension/core/plans/plan';
import type { ApplyResult } from '../../../extension/core/operations/apply-plan';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import type { RefinedPlan } from '../../../extension/core/tensornet/budget/refine-plan';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const model = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const text = join(folder, 'text.txt');
const table = join(folder, 'some.sensitivity.json');
const calibrated = [
  ...['--calibration', text, '--sequences', '2', '--length', '16', '--device', 'cpu'],
];

/** A command line, and what is said of it. */
type Wrong = readonly [args: readonly string[], message: RegExp];

const run = async (...args: string[]) => runCli(args);

beforeAll(async () => {
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
});

describe('usage errors', () => {
  it.each([
    [
      ['compress', model, '--method', 'int8', '--plan', 'p', '--out', 'x'],
      /^Use only one of --method, --budget and --plan, not both --method and --plan\./,
    ],
    [['compress', '--method', 'int8', '--out', 'x'], /^MODEL or --plan is required\./],
    [['compress', model, '--method', 'int8'], /^--out is required\./],
    ...[
      ...[
        ['--setting', '3'],
        ['--variant', 'rtn'],
        ['--then', 'int4'],
        ['--skip', 'down'],
      ],
      ...[['--spread-ranks'], ['--roles', 'up'], ['--blocks', '0'], ['--embeddings'], ['--head']],
      ...[
        ['--unit', 'flops'],
        ['--rounds', '1'],
        ['--methods', 'int8'],
        ['--metric', 'kl'],
      ],
      ['--sensitivity', 's'],
    ].map((flags): Wrong => [
      ['compress', '--plan', 'p', '--out', 'x', ...flags],
      new RegExp(
        `^${flags[0] ?? ''} has no effect with --plan: the plan specifies what to compress\\.`,
      ),
    ]),
    ...[
      ...[
        ['--unit', 'flops'],
        ['--rounds', '1'],
        ['--methods', 'int8'],
        ['--metric', 'kl'],
      ],
      ['--sensitivity', 's'],
    ].map((flags): Wrong => [
      ['compress', model, '--method', 'int8', '--out', 'x', ...flags],
      new RegExp(`^${flags[0] ?? ''} needs --budget\\.`),
    ]),
    ...[
      ['--setting', '3'],
      ['--variant', 'rtn'],
      ['--then', 'int4'],
      ['--skip', 'down'],
    ].map((flags): Wrong => [
      ['compress', model, '--budget', '0.5', '--out', 'x', ...flags],
      new RegExp(`^${flags[0] ?? ''} needs --method\\.`),
    ]),
    ...[
      ['--metric', 'kl'],
      ['--precision', '0.1'],
      ['--roles', 'up'],
      ['--blocks', '0'],
    ].map((flags): Wrong => [
      ['compress', model, '--budget', '0.5', '--sensitivity', 's', '--out', 'x', ...flags],
      new RegExp(`^${flags[0] ?? ''} has no effect with --sensitivity: `),
    ]),
    [
      ['compress', model, '--budget', '2', '--out', 'x'],
      /^--budget accepts a number above 0 and at most 1, not 2\./,
    ],
    [
      ['compress', model, '--method', 'int8', '--rows', '0', '--out', 'x'],
      /^--rows accepts an integer of at least 1, not 0\./,
    ],
    [
      ['compress', model, '--method', 'int8', '--no-calibration', '--sequences', '2', '--out', 'x'],
      /^--sequences has no effect with --no-calibration\./,
    ],
    [
      ['repair', model, '--teacher', model, '--out', 'x', '--rate', '0'],
      /^--rate accepts a number abo/,
    ],
    [['repair', model, '--out', 'x'], /^--teacher is required\./],
    [['sensitivity', model, '--roles', 'middle'], /^--roles accepts some of query/],
    [
      ['sensitivity', model, '--blocks', '1,x'],
      /^--blocks accepts numbers and ranges such as 0-3,7/,
    ],
    [['sensitivity', model, '--seed', '-1'], /^--seed accepts an integer of at least 0, not -1/],
    [
      ['sensitivity', model, '--calibration-policy', 'max'],
      /^--calibration-policy needs --calibration-scores/,
    ],
  ] as readonly Wrong[])('%j: the cause and a hint', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).toMatch(/\nSee espalier ([a-z]+ )?--help\.$/);
  });
});

describe('failures', () => {
  it.each([
    [
      ['sensitivity', model, '--blocks', '3-1', ...calibrated],
      /--blocks: The range 3-1 ends before/,
    ],
    [['sensitivity', model, '--methods', 'int4,int3', ...calibrated], /--methods: "int3" is not/],
    [
      ['compress', model, '--method', 'int8', '--spread-ranks', '--out', 'x'],
      /--spread-ranks: Ranks can be distributed for lowrank only, not for int8/,
    ],
    [
      ['compress', model, '--budget', '0.5', '--sensitivity', 'none.json', '--out', 'x'],
      /none\.json: There is no such sensitivity profile/,
    ],
  ])('%j: reports the error', async (args, message) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

it('measures the chosen layers with the chosen methods, and writes the printed values', async () => {
  const asked = ['--methods', 'int8:32,int4:16', '--roles', 'down, up', '--blocks', '0-1,3'];
  const { code, stdout, stderr } = await run(
    ...['sensitivity', model, ...asked, '--metric', 'kl', ...calibrated, '--out', table, '--json'],
  );
  expect(code, stderr).toBe(0);
  const profile = JSON.parse(stdout) as SensitivityProfile;
  expect(profile).toEqual(JSON.parse(await readFile(table, 'utf8')));
  expect(profile.metric).toBe('kl');
  expect(profile.calibration).toMatchObject({ sequences: 2, length: 16 });
  expect(new Set(profile.layers.map(({ block }) => block))).toEqual(new Set([0, 1, 3]));
  expect(new Set(profile.layers.map(({ role }) => role))).toEqual(new Set(['up', 'down']));
  for (const { entries } of profile.layers) {
    expect(entries.map(({ method, setting }) => [method, setting])).toEqual([
      ['int8', 32],
      ['int4', 16],
    ]);
  }
});

describe('a plan under a budget', () => {
  const layers = join(folder, 'some.layerprofile.json');
  const measured = join(folder, 'all.sensitivity.json');
  // Further rounds measure better plans, which tests of the planner look at.
  const plan = async (...args: string[]) =>
    run(
      ...['plan-compression', model, '--sensitivity', measured],
      ...['--device', 'cpu', '--rounds', '0', ...args],
    );
  const changedProfile = async (name: string, change: object): Promise<string> => {
    const document = JSON.parse(await readFile(layers, 'utf8')) as LayerProfile;
    const file = join(folder, `${name}.layerprofile.json`);
    await writeFile(file, JSON.stringify({ ...document, ...change }));
    return file;
  };

  beforeAll(async () => {
    const searched = ['profile', model, '--all', '--no-baselines', ...calibrated, '--out', layers];
    const profiled = await run(...searched);
    expect(profiled.code, profiled.stderr).toBe(0);
    const made = ['sensitivity', model, '--methods', 'int8:32,int4:16', ...calibrated];
    const tried = await run(...made, '--out', measured);
    expect(tried.code, tried.stderr).toBe(0);
  });

  it('plans with the chosen methods only', async () => {
    const out = join(folder, 'made.plan.json');
    const few = await plan('--budget', '0.7', '--methods', 'int8', '--out', out, '--json');
    expect(few.code, few.stderr).toBe(0);
    const { compress, remove, cost, costBefore } = JSON.parse(few.stdout) as RefinedPlan;
    expect(cost).toBeLessThanOrEqual(0.7 * costBefore);
    expect(new Set(compress.map(({ method }) => method))).toEqual(new Set(['int8']));
    expect(remove).toEqual([]);
    expect(JSON.parse(await readFile(out, 'utf8'))).toMatchObject({ compress, remove });
  });

  it('removes by a layer profile', async () => {
    const out = join(folder, 'removing.plan.json');
    const limits = ['--budget', '0.3', '--limits', 'flops<99%'];
    const removing = await plan(...limits, '--profile', layers, '--rounds', '1', '--out', out);
    expect(removing.code, removing.stderr).toBe(0);
    expect(removing.stdout).toMatch(/^Remove block\.\d\./m);
    expect(removing.stdout).toMatch(/ of the original are left, distance /);
    expect(removing.stdout).toMatch(/^flops: .* of at most .* of the original\)$/m);
    const { note } = JSON.parse(await readFile(out, 'utf8')) as Plan;
    expect(note).toMatch(/^budget 0\.3 of bytes, 0\.99 of flops, js .*, best of 2 plans measured$/);
  });

  it('is refused with the reason', async () => {
    const outputText = async (...args: string[]): Promise<string> => (await plan(...args)).stderr;
    expect(await outputText('--budget', '0.3')).toMatch(/above the budget/);
    expect(await outputText('--budget', '0.7', '--methods', 'int8:32')).toMatch(
      /--methods: The sensitivity profile has its own settings of int8/,
    );
    expect(await outputText()).toMatch(/^--budget or --limits is required\./);
    expect(await outputText('--limits', 'bytes<70%', '--unit', 'flops')).toMatch(
      /^--unit needs --budget\./,
    );
    expect(await outputText('--budget', '0.7', '--context', '9')).toMatch(
      /^--context applies only if --unit or --limits limits memory\./,
    );
    const { settings } = JSON.parse(await readFile(layers, 'utf8')) as LayerProfile;
    const other = await changedProfile('kl', { settings: { ...settings, metric: 'kl' } });
    expect(await outputText('--budget', '0.7', '--profile', other)).toMatch(
      /kl\.layerprofile\.json.*must be of the same model .* by js/,
    );
    const candidates = [{ sublayer: 'block.0', distance: 0.1 }];
    const blocks = await changedProfile('blocks', { candidates });
    expect(await outputText('--budget', '0.7', '--profile', blocks)).toMatch(
      /blocks\.layerprofile\.json.* no distances of single sublayers/,
    );
  });

  it('is written in all sizes', async () => {
    const plans = join(folder, 'plans');
    const front = await run(
      ...['pareto', measured, '--profile', layers, '--points', '200', '--out', plans],
    );
    expect(front.code, front.stderr).toBe(0);
    const files = front.stderr.split('\n').filter((line) => line.endsWith('.plan.json'));
    expect(await readdir(plans)).toHaveLength(files.length);
    expect(new Set(files).size).toBe(files.length);
    const smallest = JSON.parse(await readFile(files.at(-1) ?? '', 'utf8')) as Plan;
    const { candidates } = JSON.parse(await readFile(layers, 'utf8')) as LayerProfile;
    expect(smallest.remove).toHaveLength(candidates.length - 1);
  });

  it('is scored on a task in some sizes', async () => {
    const task = join(folder, 'few.jsonl');
    const rows = ['fox', 'dog', 'lazy', 'quick', 'brown', 'over'].map((word, i) => ({
      context: 'the quick brown fox jumps over the',
      choices: [` ${word}`, ' jumps', ' the'],
      answer: i % 3,
    }));
    await writeFile(task, rows.map((row) => JSON.stringify(row)).join('\n'));
    const shown = await run('pareto', measured, '--task', task, '--points', '3', '--device', 'cpu');
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/ few +points from the original$/m);
    expect(shown.stdout).toMatch(/^few: the original has .* of 6 examples right$/m);
    const idleDevice = await run('pareto', measured, '--device', 'cpu');
    expect(idleDevice.stderr).toMatch(/^--device needs --task\./);
  });
});

it('reports the drift of a plan that prunes widths', async () => {
  const file = join(folder, 'widths.plan.json');
  const widths = [{ sublayer: 'block.0.feedforward', remove: '0-20' }];
  const plan = { format: 'espalier.plan', version: 1, model: { path: model }, remove: [], widths };
  await writeFile(file, JSON.stringify(plan));
  const shown = await run('drift', '--plan', file, '--text', text, '--device', 'cpu', '--json');
  expect(shown.code, shown.stderr).toBe(0);
  const [attention, feedforward] = (JSON.parse(shown.stdout) as Drift).sublayers;
  expect(attention?.relativeError).toBe(0);
  expect(feedforward?.relativeError).toBeGreaterThan(0);
});

it('plans the removal of the experts that are least salient', async () => {
  const mixtral = fixture('mixtral');
  const out = join(folder, 'experts.plan.json');
  const score = async (ratio: string) =>
    run('score-experts', mixtral, '--ratio', ratio, '--calibration', 'random', '--out', out);
  const idle = await run('score-experts', mixtral, '--allocation', 'saliency');
  expect(idle).toMatchObject({ code: 2 });
  expect(idle.stderr).toContain('--allocation needs --ratio');
  const few = await score('0.1');
  expect(few.stderr).toMatch(/--ratio: 0\.1 of \d+ experts is less than one/);
  const half = await score('0.5');
  expect(half.code, half.stderr).toBe(0);
  const { remove } = JSON.parse(await readFile(out, 'utf8')) as Plan;
  expect(remove.length).toBeGreaterThan(0);
  expect(half.stdout.match(/ yes$/gm)).toHaveLength(remove.length);
});

describe('compress', () => {
  it('prints the distance from the original, a line per kind of layer', async () => {
    const out = join(folder, 'shown');
    const args = ['compress', model, '--method', 'lowrank:50%', '--skip', 'down', ...calibrated];
    const { code, stdout, stderr } = await run(...args, '--out', out);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^model\.layers\.\*\.mlp\.up_proj\.weight +4 /m);
    expect(stdout).not.toContain('layers.2.');
    expect(stdout).toMatch(
      /^Verified: it opens and runs, top-1 agreement with the plan [\d.]+.% on 64 tokens\.$/m,
    );
    expect(stdout).toMatch(/^Against the original: distance .*, top-1 agreement /m);
    expect(stdout).toMatch(/^Perplexity on held-out text: .* → .*$/m);
    const rows = await run(...args, '--no-quality', '--verbose', '--overwrite', '--out', out);
    expect(rows.stdout).toMatch(/^model\.layers\.2\.mlp\.up_proj\.weight /m);
    expect(rows.stdout).not.toContain('Against the original');
  });

  it('rejects settings of compression with a plan that compresses nothing', async () => {
    const plan = join(folder, 'removes.plan.json');
    const document = { format: 'espalier.plan', version: 1, model: { path: model } };
    await writeFile(plan, JSON.stringify({ ...document, remove: ['block.1.attention'] }));
    const out = join(folder, 'removed');
    const given = ['--plan', plan, '--device', 'cpu', '--out', out, '--json'];
    for (const command of ['compress', 'prune']) {
      const idle = await run(command, ...given, '--sequences', '3');
      expect(idle.code).toBe(1);
      expect(idle.stderr).toMatch(/--sequences: This has no effect: the plan compresses nothing/);
    }
    const { code, stdout, stderr } = await run('compress', ...given);
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout) as ApplyResult;
    expect(result.removed).toEqual(['block.1.attention']);
    expect(result.quality?.perplexity?.before).toBeGreaterThan(1);
  });

  it('under a budget first measures the distance of each method, on the given layers and metric', async () => {
    const out = join(folder, 'budget');
    const { code, stdout, stderr } = await run(
      ...['compress', model, '--budget', '0.9', '--methods', 'int4:16', '--metric', 'kl'],
      ...['--roles', 'up', '--rounds', '0', ...calibrated, '--out', out, '--json'],
    );
    expect(code, stderr).toBe(0);
    const { bytesBefore, bytesAfter, ...result } = JSON.parse(stdout) as ApplyResult;
    expect(bytesAfter).toBeLessThanOrEqual(0.9 * bytesBefore);
    const layers = 'layers' in result ? result.layers : [];
    expect(layers.length).toBeGreaterThan(0);
    expect(layers.every(({ tensor }) => tensor.endsWith('up_proj.weight'))).toBe(true);
    const { note } = JSON.parse(await readFile(`${out}.plan.json`, 'utf8')) as Plan;
    expect(note).toMatch(/budget 0\.9 of bytes, kl .*, one plan measured$/);
  });
});

it('repairs the compressed layers according to its flags', async () => {
  const compressed = join(folder, 'to-repair');
  const made = ['compress', model, '--method', 'lowrank:30%', '--no-calibration', '--no-quality'];
  expect((await run(...made, '--device', 'cpu', '--out', compressed)).code).toBe(0);
  const out = join(folder, 'repaired');
  const args = ['repair', compressed, '--teacher', model, '--out', out];
  const few = ['--calibration', text, '--sequences', '12', '--length', '16', '--device', 'cpu'];
  const training = ['--epochs', '1', '--batch', '4', '--scope', 'sublayers', '--json'];
  const { code, stdout, stderr } = await run(...args, ...few, ...training);
  expect(code, stderr).toBe(0);
  const { lossBefore, lossAfter, slices } = JSON.parse(stdout) as RepairResult;
  expect(lossAfter).toBeLessThan(lossBefore);
  expect(slices.length).toBeGreaterThan(0);
  expect(slices.every(({ epochs }) => epochs <= 1)).toBe(true);
});
