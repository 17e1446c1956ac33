import { join } from 'node:path';
import { build } from 'esbuild';

const jobs = join(import.meta.dirname, '../../../extension/core/jobs');

/** Bundles a script of a few lines, which imports from extension/core/jobs, so that it can be forked. */
export async function bundle(outfile: string, contents: string): Promise<void> {
  await build({
    stdin: { contents, resolveDir: jobs, loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
  });
}
