/**
 * The default search on devices other than the CPU: Llama-shaped models of random float16 weights, a quarter of
 * their sublayers removed, 10 × 256 tokens, on every device that works here. Prints a Markdown table and, from a
 * quiet machine, writes it to RESULTS.md. The largest shape needs 16 GB in the temporary folder, and 32 GB on the device.
 *
 *     node bench/gpu/run.mjs [--device NAME] [--shape NAME] [--quick]
 *
 * --quick: a tiny model and a short text, to try the bench itself, on a device in software too; nothing is written.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt, searchQuarter } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeModel } from '../lib/random-llama.mjs';

/** @typedef {import('../lib/random-llama.mjs').Shape} Shape */

const { values: options } = parseArgs({
  options: {
    device: { type: 'string' },
    shape: { type: 'string' },
    quick: { type: 'boolean' },
  },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const [sequences, length] = options.quick ? [2, 16] : [10, 256];

/** @type {Record<string, Shape>} */
const shapes = options.quick
  ? { tiny: { hidden: 64, inner: 192, heads: 2, keyValueHeads: 1, headDim: 32, blocks: 3, vocabulary: 8192 } }
  : {
      'SmolLM2-135M': { hidden: 576, inner: 1536, heads: 9, keyValueHeads: 3, headDim: 64, blocks: 30, vocabulary: 49152 },
      '1.1B': { hidden: 2048, inner: 5632, heads: 32, keyValueHeads: 4, headDim: 64, blocks: 22, vocabulary: 32000 },
      '8B': { hidden: 4096, inner: 14336, heads: 32, keyValueHeads: 8, headDim: 128, blocks: 32, vocabulary: 128256 },
    }; // prettier-ignore

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const devices = await devicesHere();
  const wanted = Object.entries(shapes).filter(
    ([name]) => options.shape === undefined || name === options.shape,
  );
  if (devices.length === 0 || wanted.length === 0) {
    say(red(`Nothing to measure: shapes are ${Object.keys(shapes).join(', ')}.`));
    return 1;
  }
  const machine = await Machine.watch();
  const folder = await mkdtemp(join(tmpdir(), 'espalier-gpu-'));
  try {
    const script = join(root, 'dist', 'bench-gpu.cjs');
    await bundleCore(join(here, 'measure.ts'), script);
    const rows = [];
    for (const [name, shape] of wanted) {
      const model = join(folder, 'model');
      await writeModel(model, shape, 'F16');
      for (const device of devices) {
        rows.push(await measure(name, model, device, script, folder));
        say(dim(rows.at(-1) ?? ''));
      }
      await rm(model, { recursive: true });
    }
    const text = [
      '# The default search on other devices than the CPU',
      '',
      await machine.describe(),
      'Command: `npm run build && node bench/gpu/run.mjs`.',
      '',
      `Llama-shaped models of random float16 weights, a quarter of their sublayers removed, ${sequences} × ${length} tokens. Matmuls:`,
      `the linear layers alone, over the rows of 8 states at once, which are made on the device. Their share of the search is what`,
      'all its sublayer evaluations would take at that speed, without heads. Bytes: traffic to main memory in one evaluation.',
      '',
      '| model | device | one sublayer, ms | one state alone, ms | its products, ms | share of products | bytes | search, s | sublayer evaluations | share of products |',
      '|---|---|--:|--:|--:|--:|--:|--:|--:|--:|',
      ...rows,
    ].join('\n');
    await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);
    return 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The device that was asked for, or all that work but the CPU; says why the others do not. */
async function devicesHere() {
  /** @type {import('../../extension/core/runtime/device.ts').DeviceReport[]} */
  const reports = await espalier(['devices']);
  const asked = reports.filter(({ name }) =>
    options.device === undefined ? name !== 'cpu' : name === options.device,
  );
  for (const { name, works, detail } of asked) if (!works) say(dim(`${name}: ${detail}`));
  return asked.filter(({ works }) => works).map(({ name }) => name);
}

/**
 * A row of the table.
 * @param {string} name
 * @param {string} model
 * @param {string} device
 * @param {string} script
 * @param {string} folder
 */
async function measure(name, model, device, script, folder) {
  const { value } = await json(process.execPath, [script, device, model, length]);
  const { evaluation, alone, products, bytes } = value;
  const out = join(folder, `${device}.layerprofile.json`);
  const options = { device, sequences, length, out };
  const { seconds, sublayerEvaluations } = await searchQuarter(model, options);
  await rm(out);
  const productSeconds = (products * sublayerEvaluations) / 1000;
  /** @type {(share: number) => string} */
  const percent = (share) => `${(100 * share).toFixed(0)} %`;
  return `| ${[
    ...[name, device, evaluation.toFixed(2), alone.toFixed(2), products.toFixed(2)],
    ...[percent(products / evaluation), bytes.toFixed(0)],
    ...[seconds.toFixed(1), sublayerEvaluations, percent(productSeconds / seconds)],
  ].join(' | ')} |`;
}
