import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../..');

/** Bundles a child process of extension/worker as the product's build does, so that it can be forked; gives its path. */
export async function buildChild(
  name: 'probe' | 'pieces' | 'inspector' | 'quantize',
): Promise<string> {
  const outfile = join(root, `dist/test/${name}.js`);
  await build({
    absWorkingDir: root,
    entryPoints: [`extension/worker/${name}.ts`],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['onnxruntime-node'],
    mainFields: ['module', 'main'],
    define: { 'import.meta.url': 'importMetaUrl', 'import.meta.dirname': '__dirname' },
    banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
    logLevel: 'silent',
  });
  return outfile;
}
