/**
 * The adaptive search against the exact one over several pieces of the calibration text: removals in
 * common, held-out perplexity without them, and what each search ran. Prints a Markdown table.
 *
 *     node bench/finercut/quality.mjs [MODEL] [--pieces 5] [--sequences 10] [--length 256]
 *         [--ratio 0.25 | --remove N] [--confidence C] [--keep FOLDER]
 *
 * --keep: profiles are kept there, and found there by the next run.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { savedProfile } from '../lib/kept-profile.mjs';
import { splitText } from '../lib/pieces.mjs';
import { writePlan } from '../lib/write-plan.mjs';

/** @typedef {{file: string, rounds: {removed: string, distance: number}[], search: any, surrogate?: any, cpuSeconds: number}} Found */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pieces: { type: 'string', default: '5' },
    sequences: { type: 'string', default: '10' },
    length: { type: 'string', default: '256' },
    ratio: { type: 'string', default: '0.25' },
    remove: { type: 'string' },
    confidence: { type: 'string' },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const bundled = join(root, 'samples', 'calibration.txt');
const amount =
  options.remove === undefined ? ['--ratio', options.ratio] : ['--remove', options.remove];

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const rows = [];
  const ratios = [];
  for (const [piece, text] of (await splitText(bundled, Number(options.pieces))).entries()) {
    const calibration = join(folder, `piece-${piece}.txt`);
    await writeFile(calibration, text);
    const exact = await find(folder, calibration, piece, 'exact');
    const adaptive = await find(folder, calibration, piece, 'adaptive');
    const removedIds = new Set(exact.rounds.map(({ removed }) => removed));
    const common = adaptive.rounds.filter(({ removed }) => removedIds.has(removed)).length;
    const [before, after] = [await perplexity(folder, exact), await perplexity(folder, adaptive)];
    ratios.push(after / before);
    rows.push([
      piece + 1,
      `${common} of ${exact.rounds.length}`,
      exact.rounds.at(-1)?.distance.toFixed(4),
      adaptive.rounds.at(-1)?.distance.toFixed(4),
      before.toFixed(2),
      after.toFixed(2),
      percent(after / before - 1),
      exact.search.sublayerEvaluations,
      adaptive.search.sublayerEvaluations,
      (exact.search.sublayerEvaluations / adaptive.search.sublayerEvaluations).toFixed(1),
      exact.cpuSeconds.toFixed(0),
      adaptive.cpuSeconds.toFixed(0),
      `${adaptive.surrogate?.first ?? '–'} / ${adaptive.surrogate?.amongFour ?? '–'} of ${adaptive.surrogate?.rounds ?? '–'}`,
    ]);
  }
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  say(
    [
      `${model}: ${options.sequences} × ${options.length} tokens, ${amount.join(' ')}`,
      '',
      '| piece | removals in common | exact: distance | adaptive: distance | exact: perplexity | adaptive: perplexity | change | exact: evaluations | adaptive: evaluations | fewer by | exact: CPU seconds | adaptive: CPU seconds | expected first / among four |',
      '|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|',
      ...rows.map((row) => `| ${row.join(' | ')} |`),
      '',
      `Perplexity on held-out text: ${percent(mean - 1)} on average, ${percent(Math.max(...ratios) - 1)} at worst.`,
    ].join('\n'),
  );
}

/**
 * @param {string} folder
 * @param {string} calibration
 * @param {number} piece
 * @param {'exact' | 'adaptive'} mode
 * @returns {Promise<Found>}
 */
async function find(folder, calibration, piece, mode) {
  const file = join(folder, `piece-${piece}-${mode}.layerprofile.json`);
  const { confidence } = options;
  const profile = await savedProfile(file, `piece ${piece + 1}, ${mode}`, [
    ...[model, ...amount, '--calibration', calibration, '--sequences', options.sequences],
    ...['--length', options.length, '--search', mode],
    ...(confidence === undefined || mode === 'exact' ? [] : ['--confidence', confidence]),
  ]);
  return { ...profile, file };
}

/**
 * Perplexity of the bundled held-out text without what a search removed.
 * @param {string} folder
 * @param {Found} found
 * @returns {Promise<number>}
 */
async function perplexity(folder, { rounds }) {
  const plan = join(folder, 'quality.plan.json');
  await writePlan(plan, model, rounds);
  return (await espalier(['evaluate', '--plan', plan, '--whole-text'])).perplexity;
}

/** @param {number} share */
function percent(share) {
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(1)} %`;
}
