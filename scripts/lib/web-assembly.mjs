import { readFile } from 'node:fs/promises';
import asc from 'assemblyscript/asc';

/**
 * Compiles AssemblyScript that imports nothing and allocates no memory.
 * @param {string} path
 * @returns {Promise<Uint8Array>}
 */
export async function compileToWasm(path) {
  const source = await readFile(path, 'utf8');
  /** @type {Uint8Array | undefined} */
  let binary;
  const { error, stderr } = await asc.main(
    [
      ...['module.ts', '--outFile', 'module.wasm', '--optimizeLevel', '3', '--runtime', 'stub'],
      ...['--enable', 'simd', '--initialMemory', '1', '--noAssert', '--use', 'abort='],
    ],
    {
      readFile: (name) => (name === 'module.ts' ? source : null),
      writeFile: (_, contents) => {
        if (typeof contents !== 'string') binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === undefined) throw new Error(`${path}: ${stderr.toString()}`);
  return binary;
}
