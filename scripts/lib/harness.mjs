import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { bundleCore } from './bundle.mjs';
import { capture, run } from './processes.mjs';
import { root } from './repository.mjs';

/**
 * Builds the product and a program of `test/reliability`, and runs it in a temporary folder with a cache of its own;
 * this process then ends with its exit code.
 * @param {string} name of the program
 * @param {readonly string[]} others that it starts
 * @param {(folder: string, others: readonly string[]) => readonly string[]} args
 */
export async function runHarness(name, others, args) {
  await run(process.execPath, [join(root, 'scripts', 'build.mjs'), 'cli', 'worker', 'pieces']);
  const folder = await mkdtemp(join(tmpdir(), 'espalier-reliability-'));
  try {
    const bundles = [name, ...others].map((one) => join(folder, `${one}.cjs`));
    // The solver expects it next to its bundle.
    await copyFile(join(root, 'dist', 'highs.wasm'), join(folder, 'highs.wasm'));
    for (const [i, one] of [name, ...others].entries()) {
      await bundleCore(join(root, 'test', 'reliability', `${one}.ts`), bundles[i] ?? '');
    }
    const [program = '', ...started] = bundles;
    const { code } = await capture(process.execPath, [program, ...args(folder, started)], {
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), ORT_DISABLE_TELEMETRY: '1' },
    });
    process.exitCode = code === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
