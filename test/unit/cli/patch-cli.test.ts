import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
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

it('patches a sublayer, whose program builds the graph that it tells', async () => {
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

it('says what is missing', async () => {
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
