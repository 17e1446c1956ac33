// A long session in one extension host: node scripts/soak.mjs [JOBS]
// Runs jobs of all kinds (1000 by default) and opens and closes half as many panels in a workspace of 200 models and the largest documents; fails where heap, memory,
// descriptors, listeners or processes grow beyond a bound (test/soak/soak.test.ts), or where a process outlives the extension host.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpSync, linkSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';
import { experts, writeModel } from '../bench/inspect/models.mjs';
import { runExtensionSuites } from '../test/launch/extension-host.mjs';
import { bundleCore } from './lib/bundle.mjs';
import { run } from './lib/processes.mjs';
import { root } from './lib/repository.mjs';
import { red, say } from './lib/terminal.mjs';

const jobs = process.argv[2] ?? '1000';
await run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--production']);
const folder = await mkdtemp(join(tmpdir(), 'espalier-soak-'));
const tests = join(root, 'dist', 'test', 'soak');
await build({
  entryPoints: ['test/extension/index.ts', 'test/soak/soak.test.ts'].map((file) =>
    join(root, file),
  ),
  entryNames: '[name]',
  outdir: tests,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  mainFields: ['module', 'main'],
  external: ['vscode', 'onnxruntime-node', 'mocha'],
  logLevel: 'error',
  define: { 'import.meta.dirname': '__dirname' },
  sourcemap: 'inline',
});
const processes = join(folder, 'processes.cjs');
await bundleCore(join(root, 'test', 'reliability', 'processes.ts'), processes);
const { marker, outlived } = createRequire(import.meta.url)(processes);
const mark = `soak-${process.pid}`;
const log = join(folder, 'log');
try {
  const counts = await runExtensionSuites({
    tests: join(tests, 'index.js'),
    environment: { ESPALIER_SOAK_JOBS: jobs, ESPALIER_SOAK_LOG: log, [marker]: mark },
    timeoutMilliseconds: 24 * 3600 * 1000,
    prepare: addModels,
  });
  say(await readFile(log, 'utf8').catch(() => ''));
  const left = await outlived(mark);
  if (left.length > 0) say(red(`Processes ${left.join()} outlived the extension host.`));
  process.exitCode = counts.failed === 0 && counts.passed > 0 && left.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** @param {string} workspace */
async function addModels(workspace) {
  await writeModel(join(workspace, 'experts'), experts);
  const source = join(root, 'test', 'fixtures', 'models', 'llama-gqa-untied');
  for (let i = 0; i < 200; i++) {
    const model = join(workspace, 'models', String(i));
    mkdirSync(model, { recursive: true });
    for (const name of readdirSync(source)) {
      if (i === 0) cpSync(join(source, name), join(model, name));
      else linkSync(join(workspace, 'models', '0', name), join(model, name));
    }
  }
}
