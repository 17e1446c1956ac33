/**
 * What processes that share a search gain and cost: the sample, and SmolLM2-135M where bench/smollm2 has kept it. Prints
 * a Markdown table and, from a quiet machine, writes it to RESULTS.md. Takes ten minutes.
 *
 *     node bench/distribute/run.mjs [--quick]
 *
 * --quick: a tiny search on the sample, to try the bench itself; nothing is written.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';

/** @typedef {{distance: number}} Round */

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' } } });
const here = fileURLToPath(new URL('.', import.meta.url));
const models = [
  { name: 'espalier-sample', folder: join(root, 'samples', 'espalier-sample') },
  { name: 'SmolLM2-135M', folder: join(cacheFolder(), 'bench-smollm2-135m') },
].filter(({ folder }, i) => existsSync(folder) && (i === 0 || !options.quick));
const [sequences, length] = options.quick ? [4, 16] : [16, 128];

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const machine = await Machine.watch();
  const rows = [];
  for (const { name, folder } of models) {
    /** @type {{seconds: number, rounds: Round[]} | undefined} */
    let alone;
    for (const workers of [1, 2, 4]) {
      say(dim(`${name}, ${workers}`));
      const { value, cpuSeconds = Number.NaN } = await json(process.execPath, [
        ...[cli, 'profile', folder, '--json', '--device', 'cpu', '--search', 'exact'],
        ...['--ratio', '0.25', '--no-baselines', '--workers', workers],
        ...['--calibration', join(root, 'samples', 'calibration.txt')],
        ...['--sequences', sequences, '--length', length],
      ]);
      const { seconds, sublayerEvaluations } = value.search;
      alone ??= { seconds, rounds: value.rounds };
      const speed = alone.seconds / seconds;
      rows.push(
        `| ${name} | ${workers} | ${seconds.toFixed(1)} | ${speed.toFixed(2)} | ${cpuSeconds.toFixed(1)} | ` +
          `${sublayerEvaluations} | ${difference(alone.rounds, value.rounds).toExponential(1)} |`,
      );
    }
  }
  const text = [
    '# One search, shared among processes',
    '',
    await machine.describe(),
    '',
    `Exact search, a quarter of the sublayers removed, ${sequences} × ${length} tokens. Processor time counts all`,
    'processes and their start. The last column is the greatest difference of a distance from that of one process.',
    '',
    '| model | processes | seconds | speed | processor seconds | evaluations | difference |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...rows,
  ];
  await machine.publish(join(here, 'RESULTS.md'), text.join('\n'), options.quick !== true);
  return 0;
}

/**
 * @param {readonly Round[]} expected
 * @param {readonly Round[]} found
 */
function difference(expected, found) {
  return Math.max(
    ...expected.map(({ distance }, i) => Math.abs(distance - (found[i]?.distance ?? Number.NaN))),
  );
}
