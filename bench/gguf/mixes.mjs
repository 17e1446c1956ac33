/**
 * Types chosen from a sensitivity profile against mixes of llama.cpp at equal bytes: the divergence from the original,
 * the share of positions with the same most likely token, and the perplexity, all on held-out text, with 95 % intervals.
 * Files of both are rounded by the same importance matrix. Prints a Markdown table.
 *
 *     node bench/gguf/mixes.mjs [MODEL] [--mixes Q4_K_M,Q3_K_M] [--sequences 8] [--length 128] [--rounds 0]
 *         [--keep FOLDER]
 *
 * --sequences, --length: the calibration text, for the profile and the importance matrix.
 * --rounds: times that a plan is made again by what the whole of it showed.
 * --keep: what was measured is kept there, and found there by the next run.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { describeSource } from '../lib/source-types.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mixes: { type: 'string', default: 'Q4_K_M,Q3_K_M' },
    sequences: { type: 'string', default: '8' },
    length: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '0' },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const profile = join(folder, 'model.sensitivity.json');
  const importance = join(folder, 'model.imatrix.gguf');
  const text = ['--sequences', options.sequences, '--length', options.length];
  if (!existsSync(profile)) {
    const what = ['--methods', 'gguf', '--embeddings', '--head'];
    await espalier(['sensitivity', model, ...what, ...text, '--out', profile]);
  }
  if (!existsSync(importance)) {
    await espalier(['imatrix', model, ...text, '--out', importance]);
  }
  /** @type {{name: string, bytes: number, file: string}[]} */
  const files = [];
  for (const mix of options.mixes.split(',')) {
    const how = ['--format', 'gguf', '--imatrix', importance, '--no-quality', '--overwrite'];
    const own = join(folder, mix);
    const written = await espalier(['convert', model, '--type', mix, ...how, '--out', own]);
    files.push({ name: mix, bytes: written.bytesAfter, file: fileIn(own, written) });
    const plan = join(folder, `${mix}.plan.json`);
    const { types } = await espalier([
      ...['plan-compression', model, '--sensitivity', profile, '--embeddings', '--head'],
      ...['--limits', `bytes<${written.bytesAfter}`, '--rounds', options.rounds, '--out', plan],
    ]);
    say(dim(`${mix}: ${describe(types)}`));
    const chosen = join(folder, `${mix}-chosen`);
    const applied = await espalier(['apply', plan, ...how, '--out', chosen]);
    files.push({
      name: `chosen for ${mix}'s bytes`,
      bytes: applied.bytesAfter,
      file: fileIn(chosen, applied),
    });
  }
  const rows = [];
  let original = '';
  for (const { name, bytes, file } of files) {
    const found = await espalier(['evaluate', file, '--against', model]);
    original = `${found.tokens} tokens of held-out text; perplexity of the original ${found.against.perplexity.toFixed(2)}`;
    rows.push(
      `| ${name} | ${bytes} | ${interval(found.klDivergence, (one) => one.toPrecision(3))} | ${interval(found.agreement, (one) => `${(100 * one).toFixed(1)} %`)} | ${interval(found.perplexityRatio, (one) => one.toFixed(4))} |`,
    );
  }
  say(
    [
      await describeSource(model),
      original,
      '',
      "| types | bytes | KL to the original | same top | perplexity / the original's |",
      '|---|--:|--:|--:|--:|',
      ...rows,
    ].join('\n'),
  );
}

/**
 * @param {{value: number, low: number, high: number}} found
 * @param {(one: number) => string} format
 */
function interval({ value, low, high }, format) {
  return `${format(value)} (${format(low)} to ${format(high)})`;
}

/**
 * @param {string} folder
 * @param {{files: readonly {name: string}[]}} written
 */
function fileIn(folder, { files }) {
  return join(folder, files.find(({ name }) => name.endsWith('.gguf'))?.name ?? '');
}

/**
 * Number of tensors of each type.
 * @param {Readonly<Record<string, string>>} types
 */
function describe(types) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const type of Object.values(types)) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].map(([type, count]) => `${count} × ${type}`).join(', ');
}
