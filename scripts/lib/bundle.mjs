import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './repository.mjs';

/**
 * Bundles TypeScript that calls the core, of a bench or a harness, into a program for Node; it may lie outside of the repository.
 * @param {string} entry path of the source
 * @param {string} outfile
 */
export async function bundleCore(entry, outfile) {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    mainFields: ['module', 'main'],
    external: ['onnxruntime-node'],
    logLevel: 'error',
    define: { 'import.meta.dirname': '__dirname', 'import.meta.url': 'importMetaUrl' },
    banner: {
      js: `module.paths.push(${JSON.stringify(join(root, 'node_modules'))});
const importMetaUrl = require('node:url').pathToFileURL(__filename).href;`,
    },
  });
}
