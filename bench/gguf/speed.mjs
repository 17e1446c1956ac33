/**
 * Writing quantized GGUF files of a 1.1B model of random float16 weights, against llama.cpp's quantizer on as many threads
 * as there are cores. Prints Markdown. TOOLS holds node_modules with node-llama-cpp and PYTHON has gguf, as for
 * compare_with_llama_quantize.py, which says whether the bytes are the same. Needs 10 GB in the temporary folder.
 *
 *     node bench/gguf/speed.mjs TOOLS PYTHON [--quick] [TYPE ...]
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { capture } from '../../scripts/lib/processes.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeModel } from '../lib/random-llama.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' } },
});
const [tools = '', python = '', ...asked] = positionals;
const types = asked.length === 0 ? ['Q8_0', 'Q4_0', 'Q4_K_M', 'IQ4_XS'] : asked;
const here = fileURLToPath(new URL('.', import.meta.url));
const libraries = join(resolve(tools), 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64');
const shape = {
  ...{ hidden: 2048, inner: 5632, heads: 32, keyValueHeads: 4, headDim: 64 },
  ...{ blocks: options.quick ? 1 : 22, vocabulary: options.quick ? 4096 : 32000 },
};

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const machine = await Machine.watch();
  const folder = await mkdtemp(join(tmpdir(), 'espalier-gguf-'));
  try {
    const model = join(folder, 'random');
    await writeModel(model, shape, 'F16');
    const source = await convert(model, join(folder, 'float'), 'F16');
    const rows = [];
    for (const type of types) {
      const out = join(folder, type);
      const start = performance.now();
      const file = await convert(model, out, type);
      const seconds = (performance.now() - start) / 1000;
      const { code, output } = await capture(
        resolve(python),
        [
          join(here, 'compare_with_llama_quantize.py'),
          ...[libraries, source, file, '--threads', String(availableParallelism())],
        ],
        { quiet: true },
      );
      const row = output.split('\n').find((line) => line.startsWith(`| ${type} |`));
      if (code !== 0 || row === undefined) throw new Error(output);
      const cells = row.split('|').map((cell) => cell.trim());
      const theirs = Number(cells.at(-2));
      const ratio = (seconds / theirs).toFixed(2);
      rows.push(
        `| ${type} | ${cells[3]} of ${cells[2]} | ${seconds.toFixed(1)} | ${theirs} | ${ratio} |`,
      );
      say(dim(rows.at(-1) ?? ''));
      await rm(out, { recursive: true });
    }
    const text = [
      await machine.describe(),
      '',
      '| type | tensors with the same bytes | seconds, with a check of the file | llama.cpp, without | ratio |',
      '|---|--:|--:|--:|--:|',
      ...rows,
    ];
    const { sentence } = await machine.verdict();
    say(['', ...text, '', sentence].join('\n'));
    return 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} model
 * @param {string} out
 * @param {string} type
 */
async function convert(model, out, type) {
  await espalier([
    ...['convert', model, '--format', 'gguf', '--type', type, '--out', out, '--no-quality'],
  ]);
  const name = (await readdir(out)).find((one) => one.endsWith('.gguf')) ?? '';
  return join(out, name);
}
