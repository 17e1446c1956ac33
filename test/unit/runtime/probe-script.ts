import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../../..');

/** Bundles the probe as the product's build does, so that it can be forked; gives its path. */
export async function buildProbe(): Promise<string> {
  const outfile = join(root, 'dist/test/probe.js');
  await build({
    absWorkingDir: root,
    entryPoints: ['extension/worker/probe.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['onnxruntime-node'],
    logLevel: 'silent',
  });
  return outfile;
}
