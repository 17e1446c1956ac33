// Bundles the product: node scripts/build.mjs [--production] [--watch] [--tests | --only-tests] [NAME…]
// With names, such as cli or worker, only those bundles; with --only-tests, what the suites of test/extension need
// next to an existing build.
import { existsSync } from 'node:fs';
import { chmod, copyFile, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { context } from 'esbuild';
import { commonJsParts } from './lib/common-js-parts.mjs';
import { declarationsOnly } from './lib/declarations-only.mjs';
import { manifest, root } from './lib/repository.mjs';
import { say } from './lib/terminal.mjs';

const { values: flags, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    production: { type: 'boolean', default: false },
    watch: { type: 'boolean', default: false },
    tests: { type: 'boolean', default: false },
    'only-tests': { type: 'boolean', default: false },
  },
});

/** Size limit of a panel's minified script. */
const maxPanelBytes = 250_000;
/** Of what the extension host loads to activate, and when it is asked for something, minified. */
const mostActivationBytes = 20_000;
const mostHostBytes = 465_000;
/** Of what a first heatmap adds. */
const mostPreviewBytes = 265_000;
/** Of what it loads in one turn of the editor's thread. */
const mostTurnBytes = 200_000;

/** @type {import('esbuild').BuildOptions} */
const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: flags.production,
  sourcemap: !flags.production,
  legalComments: flags.production ? 'linked' : 'none',
  logLevel: 'warning',
};

/** @type {import('esbuild').BuildOptions} */
const node = {
  ...shared,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  // Two copies of ONNX Runtime in one process abort it: everyone requires the one in node_modules.
  external: ['vscode', 'onnxruntime-node'],
  mainFields: ['module', 'main'],
  define: { 'import.meta.url': 'importMetaUrl', 'import.meta.dirname': '__dirname' },
  banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
};

/** Says what is wrong before anything of the bundle fails; in words that any Node reads. */
const leastNode = /\d+\.\d+/.exec(manifest.engines.node)?.[0] ?? '';
const [leastMajor, leastMinor] = leastNode.split('.');
const refuseOldNode =
  `var has = process.versions.node.split('.'); ` +
  `if (has[0] < ${leastMajor} || (has[0] == ${leastMajor} && has[1] < ${leastMinor})) { ` +
  `console.error('Espalier needs Node.js ${leastNode} or later. This is ' + process.version + '.'); process.exit(1); }`;

/** @type {import('esbuild').BuildOptions} */
const browser = {
  ...shared,
  platform: 'browser',
  target: 'es2022',
  loader: { '.ttf': 'file', '.svg': 'dataurl' },
};

/**
 * Modules that become bundles of their own, by the names of their files.
 * @param {...string} files
 */
const modules = (...files) => files.map((file) => ({ in: file, out: basename(file, '.ts') }));

/** Modules that panels import after the first paint, which share bundles: NAME.js from each. */
const laterModules = modules(
  'webview/charts/bar-chart.ts',
  'webview/charts/curve-chart.ts',
  'webview/charts/scatter-chart.ts',
  'webview/components/toolkit.ts',
);

/** Modules that the extension imports on demand, each in a separate turn of the event loop. */
const hostParts = modules(
  'extension/core/operations/operations.ts',
  'extension/services/worker/worker-client.ts',
  'extension/commands/run-command.ts',
  'extension/host.ts',
);

/**
 * Modules that it imports for the first heatmap, also in separate turns: the model families would
 * double the size of the host.
 */
const previewParts = modules(
  'extension/core/models/parts/weight.ts',
  'extension/core/models/families/mixtures/mixtures-and-mixers.ts',
  'extension/core/models/transformer/architectures.ts',
  'extension/core/models/encoders/encoder-architectures.ts',
  'extension/core/models/stages/staged-families.ts',
  'extension/services/sessions/config-preview.ts',
);

/** Modules that the command line imports only for agents. */
const laterCliModules = modules('extension/cli/mcp/mcp-server.ts');

/** @type {import('esbuild').BuildOptions[]} */
const bundles = [
  {
    ...node,
    entryPoints: ['extension/extension.ts'],
    outfile: 'dist/extension.js',
    plugins: [laterBundles(hostParts)],
    // Bundles are required, as VS Code gives its API to those.
    supported: { 'dynamic-import': false },
    metafile: true,
  },
  {
    ...node,
    entryPoints: hostParts,
    outdir: 'dist',
    plugins: [declarationsOnly, laterBundles(previewParts), commonJsParts('host')],
    metafile: true,
  },
  {
    ...node,
    entryPoints: previewParts,
    outdir: 'dist',
    plugins: [commonJsParts('preview')],
    metafile: true,
  },
  ...laterCliModules.map((entry) => ({
    ...node,
    entryPoints: [entry.in],
    outfile: `dist/${entry.out}.js`,
  })),
  { ...node, entryPoints: ['extension/worker/main.ts'], outfile: 'dist/worker.js' },
  {
    ...node,
    entryPoints: ['extension/worker/inspector.ts'],
    outdir: 'dist',
    // Half of what opening a model takes would be reading code that it doesn't need.
    plugins: [commonJsParts('inspector')],
  },
  { ...node, entryPoints: ['extension/worker/data-reader.ts'], outfile: 'dist/data-reader.js' },
  { ...node, entryPoints: ['extension/worker/probe.ts'], outfile: 'dist/probe.js' },
  { ...node, entryPoints: ['extension/worker/pieces.ts'], outfile: 'dist/pieces.js' },
  { ...node, entryPoints: ['extension/worker/quantize.ts'], outfile: 'dist/quantize.js' },
  {
    ...node,
    entryPoints: ['extension/core/distribute/queue/library.ts'],
    outfile: 'dist/queue-library.js',
  },
  { ...node, entryPoints: ['extension/worker/parquet-check.ts'], outfile: 'dist/parquet-check.js' },
  { ...node, entryPoints: ['extension/worker/llama.ts'], outfile: 'dist/llama.js' },
  {
    ...node,
    entryPoints: ['extension/cli/main.ts'],
    outfile: 'dist/cli.js',
    plugins: [laterBundles(laterCliModules)],
    banner: { js: ['#!/usr/bin/env node', refuseOldNode, node.banner?.['js']].join('\n') },
  },
  {
    ...browser,
    entryPoints: await webviewPanels(),
    outdir: 'dist/webview',
    format: 'esm',
    plugins: [laterBundles(laterModules)],
    metafile: true,
  },
  {
    ...browser,
    entryPoints: laterModules,
    outdir: 'dist/webview',
    format: 'esm',
    splitting: true,
  },
];
/** A bundle per panel: webview/heatmap/main.tsx becomes dist/webview/heatmap.js and .css. */
async function webviewPanels() {
  const folders = await readdir(join(root, 'webview'), { withFileTypes: true });
  const panels = folders
    .filter((entry) => entry.isDirectory() && entry.name !== 'gallery')
    .flatMap(({ name }) => [
      { in: `webview/${name}/main.ts`, out: name },
      { in: `webview/${name}/main.tsx`, out: name },
    ])
    .filter((panel) => existsSync(join(root, panel.in)));
  if (panels.length === 0) throw new Error('webview/ has no panel with a main.tsx');
  return panels;
}

/**
 * The modules loaded first are bundled into one file; those imported later go next to it.
 * @param {readonly {readonly out: string}[]} modules
 * @returns {import('esbuild').Plugin}
 */
function laterBundles(modules) {
  return {
    name: 'later-bundles',
    setup: ({ onResolve }) => {
      onResolve({ filter: /./ }, ({ kind, path }) => {
        if (kind !== 'dynamic-import' || path.startsWith('node:')) return undefined;
        const name = basename(path);
        if (!modules.some(({ out }) => out === name)) {
          throw new Error(
            `scripts/build.mjs: ${path} is missing in the modules that are loaded later`,
          );
        }
        return { path: `./${name}.js`, external: true };
      });
    },
  };
}

/**
 * Checks the size limits of the files that the editor and its panels load at startup.
 * @param {import('esbuild').BuildResult[]} results
 */
function checkSizes(results) {
  const outputs = Object.assign({}, ...results.map(({ metafile }) => metafile?.outputs ?? {}));
  if (outputs['dist/extension.js']) {
    checkBytes('dist/extension.js', mostActivationBytes, [outputs['dist/extension.js']]);
  }
  checkParts(outputs, hostParts, mostHostBytes);
  checkParts(outputs, previewParts, mostPreviewBytes);
  checkPanels(outputs);
}

/** @typedef {import('esbuild').Metafile['outputs'][string]} Output */

/**
 * Each part loads what the ones before it have not.
 * @param {Readonly<Record<string, Output>>} outputs
 * @param {readonly {readonly out: string}[]} parts
 * @param {number} most
 */
function checkParts(outputs, parts, most) {
  if (!parts.every(({ out }) => outputs[`dist/${out}.js`])) return;
  /** @type {Set<string>} */
  const loaded = new Set();
  for (const { out } of parts) {
    const before = new Set(loaded);
    load(`dist/${out}.js`);
    const files = [...loaded].filter((file) => !before.has(file));
    checkBytes(`The turn of dist/${out}.js`, mostTurnBytes, listOutputs(files));
  }
  checkBytes(parts.map(({ out }) => out).join(', '), most, listOutputs([...loaded]));

  /** @param {string} file */
  function load(file) {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const { path, kind, external } of outputs[file]?.imports ?? []) {
      if (kind === 'import-statement' && external !== true) load(path);
    }
  }

  /** @param {readonly string[]} files */
  function listOutputs(files) {
    return files.flatMap((file) => outputs[file] ?? []);
  }
}

/**
 * @param {string} what
 * @param {number} most
 * @param {readonly Output[]} loaded
 */
function checkBytes(what, most, loaded) {
  const bytes = loaded.reduce((sum, output) => sum + output.bytes, 0);
  if (bytes > most) {
    const names = loaded
      .flatMap(({ inputs }) => Object.entries(inputs))
      .sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)
      .slice(0, 10)
      .map(([file, { bytesInOutput }]) => `${bytesInOutput} ${file}`);
    throw new Error(`${what}: ${bytes} bytes, over ${most}. Most come from:\n${names.join('\n')}`);
  }
  say(`${what}: ${(bytes / 1000).toFixed(0)} kB`);
}

/** @param {import('esbuild').Metafile['outputs']} outputs */
function checkPanels(outputs) {
  for (const [file, { bytes, entryPoint = '' }] of Object.entries(outputs)) {
    if (!/^webview\/.*main\.tsx$/.test(entryPoint)) continue;
    if (bytes > maxPanelBytes) {
      throw new Error(`${file} loads ${bytes} bytes before its first paint, over ${maxPanelBytes}`);
    }
    say(`${file}: ${(bytes / 1000).toFixed(0)} kB before the first paint`);
  }
}

/** @returns {Promise<import('esbuild').BuildOptions[]>} */
async function testBundles() {
  return [
    {
      ...node,
      entryPoints: await extensionTests(),
      outdir: 'dist/test/extension',
      outbase: 'test/extension',
      external: ['vscode', 'onnxruntime-node', 'mocha'],
      minify: false,
      sourcemap: 'inline',
    },
    {
      ...browser,
      entryPoints: ['webview/gallery/main.tsx'],
      outdir: 'dist/test/gallery',
      format: 'iife',
    },
  ];
}

async function extensionTests() {
  const files = await readdir(join(root, 'test', 'extension'), { recursive: true });
  return files
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file === 'index.ts' || file.endsWith('.test.ts'))
    .map((file) => `test/extension/${file}`);
}

/** Solver of budget plans, which its bundle expects in the same folder. */
const solver = createRequire(import.meta.url).resolve('highs/runtime');

const tests = flags.tests || flags['only-tests'] ? await testBundles() : [];
const asked = flags['only-tests'] ? tests : [...bundles, ...tests];
const wanted = asked.filter(
  ({ outfile = '' }) => names.length === 0 || names.includes(basename(outfile, '.js')),
);
if (names.length === 0 && !flags['only-tests']) {
  // Chunks and notices of earlier builds have other names, and would be packaged.
  const files = await readdir(join(root, 'dist')).catch(() => /** @type {string[]} */ ([]));
  const built = files.filter((file) => /\.(?:js|js\.map|LEGAL\.txt)$/.test(file));
  await Promise.all(built.map((file) => rm(join(root, 'dist', file))));
}
if (wanted.some(({ outdir }) => outdir === 'dist/webview')) {
  // Chunks of earlier builds have other names.
  await rm(join(root, 'dist', 'webview'), { recursive: true, force: true });
}
const contexts = await Promise.all(wanted.map((options) => context(options)));
if (flags.watch) {
  await Promise.all(contexts.map((bundle) => bundle.watch()));
  say('Watching for changes; Ctrl-C ends.');
} else {
  try {
    const results = await Promise.all(contexts.map((bundle) => bundle.rebuild()));
    if (flags.production) checkSizes(results);
    if (wanted.some(({ outfile }) => outfile === 'dist/cli.js')) {
      await chmod(join(root, 'dist', 'cli.js'), 0o755);
    }
    await copyFile(solver, join(root, 'dist', 'highs.wasm'));
  } catch (error) {
    if (!(error instanceof Error && 'errors' in error)) throw error;
    process.exitCode = 1; // esbuild has printed them
  } finally {
    await Promise.all(contexts.map((bundle) => bundle.dispose()));
  }
}
