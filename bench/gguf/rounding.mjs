/**
 * Rounding by error feedback against rounding by importance, which writes the same bytes as llama.cpp's quantizer, with the
 * same types, sizes and calibration text: the KL divergence from the original on held-out text with 95 % intervals, top-1
 * agreement, and the time to write. Prints a Markdown table.
 *
 *     node bench/gguf/rounding.mjs [MODEL] [--types Q4_0,Q5_0] [--mixes Q4_K_M] [--sequences 32] [--length 256]
 *         [--keep FOLDER]
 *
 * --types: every linear layer of a block has this type, token embedding and LM head stay as they are.
 * --mixes: mixes of llama.cpp.
 * --sequences, --length: the calibration text, for both.
 * --keep: what is written is kept there.
 */
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { describeSource } from '../lib/source-types.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: 'string', default: 'Q4_0,IQ4_NL,Q4_1,Q5_0,Q5_1,Q8_0' },
    mixes: { type: 'string', default: '' },
    sequences: { type: 'string', default: '32' },
    length: { type: 'string', default: '256' },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const text = ['--sequences', options.sequences, '--length', options.length];

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const importance = join(folder, 'model.imatrix.gguf');
  const start = performance.now();
  await espalier(['imatrix', model, ...text, '--out', importance]);
  const measuring = (performance.now() - start) / 1000;
  const layers = await readLayerNames(importance);
  const rows = [];
  let tokens = 0;
  const cases = [
    ...options.types.split(',').map((type) => ({ name: type, layers })),
    ...options.mixes.split(',').map((mix) => ({ name: mix, layers: undefined })),
  ].filter(({ name }) => name !== '');
  for (const one of cases) {
    /** @type {Record<string, any>} */
    const found = {};
    for (const how of ['importance', 'feedback']) {
      const out = join(folder, `${one.name}-${how}`);
      const began = performance.now();
      const written = await write(one, how, out, importance);
      const seconds = (performance.now() - began) / 1000 + (how === 'importance' ? measuring : 0);
      const [file] = written.files.filter((/** @type {{name: string}} */ { name }) =>
        name.endsWith('.gguf'),
      );
      const compared = await espalier(['evaluate', join(out, file.name), '--against', model]);
      tokens = compared.tokens;
      found[how] = { ...compared, seconds, bytes: written.bytesAfter };
    }
    const { importance: before, feedback: after } = found;
    if (before.bytes !== after.bytes) throw new Error(`${one.name}: sizes differ`);
    rows.push(
      `| ${one.name} | ${before.bytes} | ${kl(before)} | ${kl(after)} | ${change(before, after)} | ${top(before)}, ${top(after)} | ${before.seconds.toFixed(0)}, ${after.seconds.toFixed(0)} |`,
    );
  }
  say(
    [
      await describeSource(model),
      `Calibration: ${options.sequences} × ${options.length} tokens. Held out: ${tokens} tokens.`,
      '',
      '| type | bytes | KL, by importance | KL, by error feedback | change | top-1 agreement | seconds |',
      '|---|--:|--:|--:|--:|--:|--:|',
      ...rows,
    ].join('\n'),
  );
}

/**
 * Names of the tensors that an importance matrix has numbers of.
 * @param {string} file
 */
async function readLayerNames(file) {
  const { tensors } = await espalier(['tensors', file]);
  return tensors
    .map((/** @type {{name: string}} */ { name }) => name)
    .filter((/** @type {string} */ name) => name.endsWith('.in_sum2'))
    .map((/** @type {string} */ name) => name.slice(0, -'.in_sum2'.length));
}

/**
 * @param {{name: string, layers: readonly string[] | undefined}} one
 * @param {string} how
 * @param {string} out
 * @param {string} importance
 */
async function write({ name, layers }, how, out, importance) {
  const common = [
    ...['--format', 'gguf', '--imatrix', importance, '--rounding', how, '--no-quality'],
    ...['--overwrite', '--out', out, ...(how === 'feedback' ? text : [])],
  ];
  if (layers === undefined) {
    return espalier(['convert', model, '--type', name, ...common]);
  }
  const plan = `${out}.plan.json`;
  const types = Object.fromEntries(layers.map((layer) => [layer, name]));
  await writeFile(
    plan,
    JSON.stringify({
      format: 'espalier.plan',
      version: 1,
      model: { path: model },
      remove: [],
      types,
    }),
  );
  return espalier(['apply', plan, ...common]);
}

/** @param {{klDivergence: {value: number, low: number, high: number}}} found */
function kl({ klDivergence: { value, low, high } }) {
  return `${value.toPrecision(3)} (${low.toPrecision(3)} to ${high.toPrecision(3)})`;
}

/**
 * @param {{klDivergence: {value: number}}} before
 * @param {{klDivergence: {value: number}}} after
 */
function change(before, after) {
  const share = after.klDivergence.value / before.klDivergence.value - 1;
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)} %`;
}

/** @param {{agreement: {value: number}}} found */
function top({ agreement }) {
  return `${(100 * agreement.value).toFixed(1)} %`;
}
