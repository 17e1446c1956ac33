/**
 * Estimated and measured distance of a manual selection in the heatmap. Prints a Markdown table.
 *
 *     node bench/finercut/by-hand.mjs [MODEL] [--rounds 15] [--choices 8]
 *
 * --choices: how many of each kind are made after each round.
 */
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { json } from '../lib/json.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '15' },
    choices: { type: 'string', default: '8' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const text = join(root, 'samples', 'calibration.txt');

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  return inTemporaryFolder(async (folder) => {
    const profile = join(folder, 'by-hand.layerprofile.json');
    await espalier([
      ...['profile', model, '--search', 'exact', '--remove', options.rounds, '--no-baselines'],
      ...['--granularity', 'sublayer', '--calibration', text, '--sequences', 1, '--length', 64],
      ...['--device', 'cpu', '--out', profile],
    ]);
    const script = join(root, 'dist', 'bench-by-hand.cjs');
    await bundleCore(join(import.meta.dirname, 'by-hand.ts'), script);
    const { value } = await json(process.execPath, [script, profile, text, options.choices]);
    say(
      [
        `${model}: \`js\`, 64 tokens, after every second of ${options.rounds} rounds; log(expected / true), mean ± standard deviation`,
        '',
        "| change to a round's removals | choices | expected | sum of what removals cost alone |",
        '|---|--:|--:|--:|',
        .../** @type {Row[]} */ (value).map(
          ({ change, count, expected, sum }) =>
            `| ${change} | ${count} | ${spread(expected)} | ${spread(sum)} |`,
        ),
      ].join('\n'),
    );
    return 0;
  });
}

/** @typedef {{mean: number, deviation: number}} Spread */
/** @typedef {{change: string, count: number, expected: Spread, sum: Spread}} Row */

/** @param {Spread} spread */
function spread({ mean, deviation }) {
  return `${mean < 0 ? '−' : ''}${Math.abs(mean).toFixed(2)} ± ${deviation.toFixed(2)}`;
}
