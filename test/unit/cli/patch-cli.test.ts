import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EvaluationResult } from '../../../extension/core/evaluate/evaluation';
import type { Plan } from '../../../extension/core/plans/plan';
import { openModel } from '../../../extension/core/models/open-model';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const folder = temporaryFolder();
const small = [
  ...['--calibration', 'random', '--sequences', '6', '--length', '12'],
  ...['--graphs', '1', '--programs', '200', '--epochs', '1'],
];

interface Printed {
  readonly accepted: boolean;
  readonly program: string;
  readonly graph: { readonly edges: readonly unknown[]; readonly size: number };
  readonly standings: readonly { readonly kind: string; readonly loss: number }[];
  readonly written: { readonly path: string; readonly patched: readonly string[] } | null;
}

it('patches a sublayer, whose program builds the reported graph', async () => {
  const model = await makeRandomModel({ seed: 5, blocks: 2 });
  const out = join(folder, 'patched');
  const given = ['patch', model, '--sublayer', 'block.0.attention', '--out', out, ...small];
  const { code, stdout } = await runCli([...given, '--anyway', '--json']);
  expect(code).toBe(0);
  const { program, graph, standings, written } = JSON.parse(stdout) as Printed;
  expect(standings).toHaveLength(6);
  expect(standings.every(({ loss }) => loss >= 0)).toBe(true);
  expect(written).toMatchObject({ path: out, patched: ['block.0.attention'] });
  const { summary } = await openModel(out);
  expect(summary.patches?.['block.0.attention']?.program).toBe(program);
  const evaluated = await runCli(['symbolic', 'evaluate', program, '--json']);
  expect(JSON.parse(evaluated.stdout)).toEqual(graph);

  const table = await runCli([...given, '--anyway', '--overwrite']);
  expect(table.stdout).toContain('bottleneck MLP');
  expect(table.stdout).toContain('Patched block.0.attention');
});

it('measures a plan with its patch like the written model', async () => {
  const model = fixture('llama-gqa-untied');
  const out = join(folder, 'planned');
  const plan = join(folder, 'plans', 'some.plan.json');
  await mkdir(join(folder, 'plans'));
  const text = join(folder, 'held-out.txt');
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(20));
  const given = ['patch', model, '--sublayer', 'block.1.feedforward', '--out', out, ...small];
  const patched = await runCli([...given, '--anyway', '--plan', plan]);
  expect(patched.code, patched.stderr).toBe(0);

  const perplexity = async (...args: readonly string[]): Promise<number> => {
    const options = ['--text', text, '--length', '16', '--device', 'cpu', '--json'];
    const { code, stdout, stderr } = await runCli(['evaluate', ...args, ...options]);
    expect(code, stderr).toBe(0);
    return (JSON.parse(stdout) as EvaluationResult).perplexity;
  };
  const written = await perplexity(out);
  const planned = await perplexity('--plan', plan);
  expect(planned).toBeCloseTo(written, 3);
  expect(await perplexity(model)).not.toBeCloseTo(planned, 3);
  const bare = JSON.parse(await readFile(plan, 'utf8')) as Plan;
  await writeFile(plan, JSON.stringify({ ...bare, patch: [] }));
  expect(await perplexity('--plan', plan)).not.toBeCloseTo(planned, 3);

  const compress = [{ tensor: 'lm_head.weight', method: 'lowrank', setting: 4 }];
  await writeFile(plan, JSON.stringify({ ...bare, compress }));
  const refused = await runCli(['evaluate', '--plan', plan, '--text', text]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('compress --plan');
});

it('names the missing argument', async () => {
  const model = await makeRandomModel({ seed: 5, blocks: 2 });
  const out = join(folder, 'none');
  const { code, stderr } = await runCli(['patch', model, '--out', out, ...small]);
  expect(code).toBe(2);
  expect(stderr).toContain('--sublayer');
  const absent = await runCli(['patch', model, '--sublayer', 'block.9.attention', '--out', out]);
  expect(absent.code).toBe(1);
  expect(absent.stderr).toContain('block.9.attention');
  expect(existsSync(out)).toBe(false);
});
