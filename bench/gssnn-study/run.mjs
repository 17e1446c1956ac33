/**
 * Effect of the choice of graph on generalization (arXiv 2303.03340 at the size of one machine): the
 * baseline, a head of as many parameters, random graphs and synthesized graphs, on RAVEN-like data with and
 * without the type that reveals the label. Prints Markdown tables and writes them to RESULTS.md. Not a timing:
 * run it with nice.
 *
 *     node bench/gssnn-study/run.mjs [--seeds 10] [--quick]
 *
 * --quick: one seed, to try the bench itself; nothing is written. Stopped, it goes on where it was.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { Machine } from '../lib/machine.mjs';

/**
 * @typedef {{mean: number, deviation: number | null, least: number, most: number}} Spread
 * @typedef {{name: string, networks: number, train: number, test: Spread, correlation: number | null,
 *   selected: Spread}} Row
 * @typedef {{lines: {majority: number, shortcut: number}, rows: Row[]}} Result
 */

const here = fileURLToPath(new URL('.', import.meta.url));
const program = join(root, 'dist', 'bench-gssnn-study.cjs');
const work = join(cacheFolder(), 'bench-gssnn-study');
const arms = ['baseline', 'mlp', 'random', 'synthesized'];
const modes = {
  faithful: 'Faithful data: a shape in a shape reveals the label',
  balanced: 'Balanced data: without that type',
};

const { values: options } = parseArgs({
  options: { seeds: { type: 'string', default: '10' }, quick: { type: 'boolean' } },
});
const seeds = options.quick ? '1' : (options.seeds ?? '10');

await bundleCore(join(here, 'study.ts'), program);
const machine = await Machine.watch();
await mkdir(work, { recursive: true });
/** @type {string[]} */
const sections = [];
for (const [mode, title] of Object.entries(modes)) {
  /** @type {Result[]} */
  const results = [];
  for (const arm of arms) {
    say(dim(`${mode}, ${arm}`));
    const journal = join(work, `${mode}-${arm}.jsonl`);
    const { code, output } = await capture(process.execPath, [program, mode, arm, seeds, journal], {
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
      quiet: true,
    });
    if (code !== 0) {
      say(red(output));
      process.exit(1);
    }
    results.push(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  }
  sections.push(section(title, results));
}
const text = [
  '# Choosing graphs: what it does to how networks generalize',
  '',
  `${await machine.describe()} Command: \`node bench/gssnn-study/run.mjs --seeds ${seeds}\`.`,
  '',
  'Images of 32 × 32, 128 to train on, 600 to validate, 600 to test, the same for all; 16 epochs, no choice of',
  'settings. Accuracies in per cent. ± is the standard deviation over networks; of *selected* it is over seeds.',
  '*Selected* is the test accuracy to expect of the network that validates best of 6.',
  '',
  ...sections,
].join('\n');
say(`\n${text}`);
if (!options.quick) await writeFile(join(here, 'RESULTS.md'), text);

/**
 * @param {string} title
 * @param {readonly Result[]} results
 */
function section(title, results) {
  const [{ lines } = { lines: { majority: Number.NaN, shortcut: Number.NaN } }] = results;
  return [
    `## ${title}`,
    '',
    `Always the more frequent label: ${percent(lines.majority)}. 1 for a shape in a shape, else 0: ${percent(lines.shortcut)}.`,
    '',
    '| network | networks | train | test | least–most | train ~ test | selected |',
    '|---|--:|--:|--:|--:|--:|--:|',
    ...results
      .flatMap(({ rows }) => rows)
      .map(
        ({ name, networks, train, test, correlation, selected }) =>
          `| ${name} | ${networks} | ${percent(train)} | ${spread(test)} | ${percent(test.least)}–${percent(test.most)} | ` +
          `${correlation === null ? '–' : correlation.toFixed(2)} | ${spread(selected)} |`,
      ),
    '',
  ].join('\n');
}

/** @param {number} share */
function percent(share) {
  return (100 * share).toFixed(1);
}

/** @param {Spread} spread */
function spread({ mean, deviation }) {
  return deviation === null ? percent(mean) : `${percent(mean)} ± ${percent(deviation)}`;
}
