// Writes what is made from the core's declarations: docs/reference/, media/plan.schema.json and lists in
// package.json. node scripts/generate.mjs [--check]: only says what is not current.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { format } from 'prettier';
import { root } from './lib/repository.mjs';
import { say } from './lib/terminal.mjs';

const check = process.argv.includes('--check');

/** The generators are TypeScript over the core: bundled, then loaded. */
async function loadGenerators() {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-generate-'));
  const outfile = join(folder, 'generate.cjs');
  try {
    await build({
      absWorkingDir: root,
      entryPoints: ['scripts/generate/generate.ts'],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      logLevel: 'warning',
      external: ['onnxruntime-node'],
      define: { 'import.meta.dirname': '__dirname' },
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(folder, { recursive: true });
  }
}
