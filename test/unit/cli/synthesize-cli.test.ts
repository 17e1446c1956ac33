import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const folder = temporaryFolder();
const small = [
  ...['--iterations', '2', '--population', '4', '--programs', '60000', '--epochs', '1'],
  ...['--train', '16', '--validation', '20', '--test', '20'],
];

interface Printed {
  readonly iterations: readonly {
    readonly models: readonly { readonly program: string; readonly metrics: { test: number } }[];
  }[];
  readonly best: {
    program: string;
    graph: object;
    train: number;
    validation: number;
    test: number;
  };
  readonly files: { readonly network: string; readonly library: string };
}

it('synthesizes modules, and reads the best program again', async () => {
  const out = join(folder, 'modules');
  const { code, stdout } = await runCli([
    ...['synthesize', '--out', out, '--seed', '3', '--data', 'balanced', '--pictures', '2'],
    ...[...small, '--json'],
  ]);
  expect(code).toBe(0);
  const { iterations, best, files } = JSON.parse(stdout) as Printed;
  expect(iterations).toHaveLength(2);
  const found = iterations.flatMap(({ models }) => models).find((m) => m.program === best.program);
  expect(found?.metrics.test).toBeDefined();
  expect([best.train, best.validation, best.test].every((share) => share >= 0 && share <= 1)).toBe(
    true,
  );
  expect(existsSync(files.network)).toBe(true);
  expect(readdirSync(join(out, 'pictures'))).toHaveLength(2);
  const evaluated = await runCli([
    ...['symbolic', 'evaluate', best.program, '--library', files.library, '--json'],
  ]);
  expect(JSON.parse(evaluated.stdout)).toEqual(best.graph);
});

it('reports errors in its options', async () => {
  const wrong = await runCli(['synthesize', '--out', folder, '--population', '4', '--keep', '5']);
  expect(wrong).toMatchObject({ code: 2 });
  expect(wrong.stderr).toMatch(/--keep accepts at most --population, which is 4\./);
  const pictures = await runCli(['synthesize', '--out', folder, '--pictures', '129']);
  expect(pictures).toMatchObject({ code: 2 });
  expect(pictures.stderr).toMatch(/--pictures accepts at most --train, which is 128\./);
  const epochs = await runCli(['synthesize', '--out', folder, '--epochs', '0']);
  expect(epochs.stderr).toMatch(/--epochs accepts an integer of at least 1, not 0\./);
  const size = await runCli(['synthesize', '--out', folder, '--size', 'huge']);
  expect(size.stderr).toMatch(/--size accepts one of paper, small, not "huge"/);
});
