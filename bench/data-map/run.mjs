/**
 * Cost of opening a data map of 200 000 examples, in the process that reads it, and how many near-duplicates are
 * found. Prints Markdown and, from a quiet machine, writes it to RESULTS.md.
 *
 *     node bench/data-map/run.mjs [--examples N]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';

const { values: options } = parseArgs({
  options: { examples: { type: 'string', default: '200000' } },
});
const machine = await Machine.watch();
const folder = await mkdtemp(join(tmpdir(), 'espalier-data-map-'));
try {
  const script = join(root, 'dist', 'bench-data-map.cjs');
  await bundleCore(join(import.meta.dirname, 'measure.ts'), script);
  const { value } = await json(process.execPath, [script, folder, options.examples]);
  /** @type {Record<string, number>} */
  const times = value;
  const { read = 0, map = 0, page = 0, found = 0 } = times;
  const rows = [
    ['the scores are read and checked', times['read']],
    ['overview: histogram, maps, classes, duplicates', times['map']],
    ['first page of examples, the hardest', times['page']],
    ['**until the first page is there**', read + map + page],
    ['what is kept: half of each class', times['kept']],
    ['the dataset is opened in the background', times['data']],
    ['search of all texts', times['search']],
    ['all by their similarity to one', times['similar']],
    ['embedding: components, neighbors, outliers, map', times['embed']],
  ];
  await machine.publish(
    join(import.meta.dirname, 'RESULTS.md'),
    `# Data map: ${Number(options.examples).toLocaleString('en-US')} texts of 10 classes

${await machine.describe()} Command: \`node bench/data-map/run.mjs\`.

| what | ms |
|---|--:|
${rows.map(([what, time]) => `| ${what} | ${time} |`).join('\n')}

Of 1000 examples that are another with 2 % noise, ${(100 * found).toFixed(1)} % are found as near-duplicates.
`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
