import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';

const plugin = join(import.meta.dirname, '../../../scripts/lib/declarations-only.mjs');
const { declarationsOnly } = (await import(plugin)) as { declarationsOnly: Plugin };

const operation = `
import { defineOperation } from '../define';
import { heavy } from '../heavy';
export const cut = defineOperation({
  id: 'cut',
  fields: { run: { default: 'declared' } },
  work: (request) => heavy(request),
  run: async (request) => {
    return heavy(request, { run: 1 });
  },
  toJson: ({ a }) => heavy(a)
});
`;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'espalier-bundle-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

async function bundle(source: string): Promise<string> {
  const core = join(scratch, 'core');
  await mkdir(join(core, 'operations'), { recursive: true });
  const entry = join(core, 'operations', 'cut.ts');
  await writeFile(entry, source);
  await writeFile(join(core, 'define.ts'), 'export const defineOperation = (it: object) => it;');
  await writeFile(join(core, 'heavy.ts'), 'export const heavy = (...a: unknown[]) => "weighs";');
  await writeFile(join(scratch, 'package.json'), '{ "sideEffects": false }');
  const { outputFiles } = await build({
    ...{ entryPoints: [entry], bundle: true, write: false, format: 'esm', logLevel: 'silent' },
    plugins: [declarationsOnly],
  });
  return outputFiles[0]?.text ?? '';
}

it('keeps the declaration of an operation, without its code', async () => {
  const text = await bundle(operation);
  expect(text).toContain('fields: { run: { default: "declared" } }');
  expect(text).not.toMatch(/weighs|work:|toJson|async/);
});

it('keeps the declaration of a question', async () => {
  const text = await bundle(`
    import { defineOperation as defineQuestion } from '../define';
    import { heavy } from '../heavy';
    export const ask = defineQuestion({ id: 'ask', trust: 'inspect', run: async () => heavy() });
  `);
  expect(text).toContain('trust: "inspect"');
  expect(text).not.toMatch(/weighs|async/);
});

it('does not change other files of that folder', async () => {
  const text = await bundle("import { heavy } from '../heavy'; export const it = { run: heavy };");
  expect(text).toContain('weighs');
});

it('refuses a declaration that it cannot read', async () => {
  const odd =
    "import { defineOperation } from '../define'; export const it = defineOperation(given);";
  await expect(bundle(odd)).rejects.toThrow('defineOperation takes an object literal');
});
