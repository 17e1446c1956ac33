/**
 * Prefill speed of whole models: SmolLM2-135M dense and compressed against transformers in float32, in turns, and
 * a Llama shape of 1.1B parameters with random weights, dense and in int8. Prints Markdown and, from a quiet machine,
 * writes RESULTS.md; fails where both do not find the same perplexity. Needs 6 GB in the temporary folder.
 *
 *     node bench/forward/run.mjs [--rounds 3] [--no-large] [--keep FOLDER]
 *
 * --keep: the models are kept there, and found there by the next run.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { rowsFor } from '../compactifai/rows.mjs';
import { median } from '../finercut/compare.mjs';
import { preparePython, prepareSmolLM2 } from '../finercut/python.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeModel } from '../lib/random-llama.mjs';
import { describeSource } from '../lib/source-types.mjs';

/**
 * @typedef {{tokensPerSecond: number, perplexity: number, versions: any}} Reading
 * @typedef {{label: string, read: () => Promise<Reading>}} Reader
 */

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    'no-large': { type: 'boolean' },
    keep: { type: 'string' },
  },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const windowLength = 256;
/** Bytes of the bundled held-out text. */
const [textBytes, largeTextBytes] = [32_000, 6000];
const compressed = ['int8', 'int8-mixed', 'int8-blocks', 'int4-gptq'];
const large = {
  ...{ hidden: 2048, inner: 5632, heads: 32, keyValueHeads: 4, headDim: 64 },
  ...{ blocks: 22, vocabulary: 32000 },
};
/** Share that float32 sums in another order, and windows cut a token apart, may change a perplexity by. */
const tolerance = 0.01;

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const python = await preparePython();
  const smolLM2 = await prepareSmolLM2(python);
  let code = 0;
  await inFolder(options.keep, async (folder) => {
    code = await compareIn(folder, python, smolLM2);
  });
  return code;
}

/**
 * @param {string} folder
 * @param {string} python
 * @param {string} smolLM2
 */
async function compareIn(folder, python, smolLM2) {
  const heldOut = await readFile(join(root, 'samples', 'held-out.txt'));
  const [text, largeText] = [join(folder, 'text.txt'), join(folder, 'large-text.txt')];
  await writeFile(text, heldOut.subarray(0, textBytes));
  await writeFile(largeText, heldOut.subarray(0, largeTextBytes));
  const models = [{ label: 'Espalier, dense', model: smolLM2 }];
  for (const { key, label, compress = [] } of rowsFor([], [])) {
    if (!compressed.includes(key)) continue;
    models.push({ label, model: await made(join(folder, key), smolLM2, compress) });
  }
  /** @type {{label: string, model: string}[]} */
  const largeModels = [];
  if (options['no-large'] !== true) {
    const dense = join(folder, 'large');
    if (!existsSync(dense)) await writeModel(dense, large);
    const model = await made(join(folder, 'large-int8'), dense, ['--method', 'int8:0']);
    largeModels.push({ label: 'dense', model: dense }, { label: 'int8, inputs too', model });
  }

  const machine = await Machine.watch();
  const script = join(here, 'transformers_forward.py');
  /** @type {(batch: number) => Reader} */
  const peer = (batch) => ({
    label: `transformers, eager, ${batch === 1 ? 'a window' : `${batch} windows`} at once`,
    read: async () =>
      (await json(python, [script, smolLM2, text, windowLength, batch, machine.cores])).value,
  });
  const readings = await readInTurns([1, 4].map(peer).concat(models.map(makeReader(text))));
  const largeReadings = await readInTurns(largeModels.map(makeReader(largeText)));
  const [one, four, dense] = readings;
  if (one === undefined || four === undefined || dense === undefined) throw new Error('no row');
  const fastest = one.speed > four.speed ? one : four;
  const result = [
    '# Reading a text',
    '',
    await machine.describe(one.versions),
    'Command: `npm run build && node bench/forward/run.mjs`.',
    '',
    `Tokens per second of whole models, windows of ${windowLength} tokens, loading left out, logits and losses included: medians`,
    `of ${options.rounds}, in turns. Compressed models have embedding and head dense.`,
    '',
    '## SmolLM2-135M',
    '',
    await describeSource(smolLM2),
    '',
    '| | tokens/s | of the faster transformers | of dense | perplexity |',
    '|---|--:|--:|--:|--:|',
    ...readings.map(
      ({ label, speed, perplexity }) =>
        `| ${label} | ${speed.toFixed(0)} | ${(speed / fastest.speed).toFixed(2)} | ${(speed / dense.speed).toFixed(2)} | ${perplexity.toFixed(2)} |`,
    ),
    ...(largeReadings[0] === undefined
      ? []
      : ['', '## 1.1B shape, random weights', '', '| | tokens/s | of dense |', '|---|--:|--:|']),
    ...largeReadings.map(
      ({ label, speed }) =>
        `| ${label} | ${speed.toFixed(1)} | ${(speed / (largeReadings[0]?.speed ?? 1)).toFixed(2)} |`,
    ),
  ].join('\n');
  await machine.publish(join(here, 'RESULTS.md'), result, options['no-large'] !== true);
  if (Math.abs(one.perplexity / dense.perplexity - 1) > tolerance) {
    say(red('Espalier and transformers find other perplexities.'));
    return 1;
  }
  return 0;
}

/**
 * A compressed model, unless it is there from an earlier run.
 * @param {string} out
 * @param {string} model
 * @param {readonly string[]} how
 */
async function made(out, model, how) {
  if (!existsSync(out)) await espalier(['compress', model, ...how, '--out', out]);
  return out;
}

/**
 * @param {string} text
 * @returns {(row: {label: string, model: string}) => Reader}
 */
function makeReader(text) {
  const how = ['--text', text, '--whole-text', '--length', windowLength, '--device', 'cpu'];
  return ({ label, model }) => ({ label, read: async () => espalier(['evaluate', model, ...how]) });
}

/** @param {readonly Reader[]} readers */
async function readInTurns(readers) {
  /** @type {Reading[][]} */
  const readings = readers.map(() => []);
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [i, { label, read }] of readers.entries()) {
      const reading = await read();
      readings[i]?.push(reading);
      say(dim(`${label}: ${reading.tokensPerSecond.toFixed(1)} tokens/s`));
    }
  }
  return readers.map(({ label }, i) => {
    const [first] = readings[i] ?? [];
    return {
      label,
      speed: median((readings[i] ?? []).map(({ tokensPerSecond }) => tokensPerSecond)),
      perplexity: first?.perplexity ?? Number.NaN,
      versions: first?.versions,
    };
  });
}
