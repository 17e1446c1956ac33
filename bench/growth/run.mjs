/**
 * Time of the default search by number of blocks and tokens: Llama-shaped models of random weights, a quarter of
 * their sublayers removed. Prints a Markdown table and, from a quiet machine, writes it to RESULTS.md. Takes six minutes.
 *
 *     node bench/growth/run.mjs [--quick]
 *
 * --quick: tiny searches, to try the bench itself; nothing is written.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { writeModel } from '../lib/random-llama.mjs';
import { isBuilt, searchQuarter } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' } } });
const here = fileURLToPath(new URL('.', import.meta.url));
const shape = {
  ...{ hidden: 256, inner: 768, heads: 4, keyValueHeads: 2, headDim: 64, vocabulary: 8192 },
};
const sequences = 6;
/** Values of the variable that grows; the other has its middle value. */
const cases = options.quick
  ? [{ blocks: 4, length: 8 }]
  : [
      ...[12, 24, 48].map((blocks) => ({ blocks, length: 128 })),
      ...[64, 256].map((length) => ({ blocks: 24, length })),
    ];

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const machine = await Machine.watch();
  const folder = await mkdtemp(join(tmpdir(), 'espalier-growth-'));
  try {
    /** @type {string[]} */
    const rows = [];
    for (const { blocks, length } of cases) {
      const model = join(folder, `blocks-${blocks}`);
      await writeModel(model, { ...shape, blocks });
      const out = join(folder, `${blocks}-${length}.layerprofile.json`);
      const { seconds, sublayerEvaluations, naiveSublayerEvaluations } = await searchQuarter(
        model,
        { device: 'cpu', sequences, length, out },
      );
      const each = (1000 * seconds) / sublayerEvaluations;
      const share = (100 * sublayerEvaluations) / naiveSublayerEvaluations;
      rows.push(
        `| ${blocks} | ${sequences} × ${length} | ${seconds.toFixed(1)} | ${sublayerEvaluations} | ${share.toFixed(1)} % | ${each.toFixed(2)} |`,
      );
      say(dim(rows.at(-1) ?? ''));
    }
    const text = [
      '# Growth of the default search',
      '',
      await machine.describe(),
      'Command: `npm run build && node bench/growth/run.mjs`.',
      '',
      `Llama-shaped models of random float32 weights (hidden ${shape.hidden}, inner ${shape.inner}, vocabulary ${shape.vocabulary}), a quarter of the sublayers removed.`,
      'An evaluation is one sublayer on one sequence.',
      '',
      '| blocks | tokens | seconds | sublayer evaluations | of the naive search | milliseconds of all for one |',
      '|--:|--:|--:|--:|--:|--:|',
      ...rows,
    ].join('\n');
    await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);
    return 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
