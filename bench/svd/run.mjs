/**
 * Randomized SVD of a 4096 × 11008 matrix at rank 512 against torch.svd_lowrank at equal error, in
 * processes that take turns. Prints a Markdown table and, from a quiet machine, writes it to RESULTS.md.
 *
 *     node bench/svd/run.mjs [--quick] [--python INTERPRETER]
 *
 * --quick: one turn, to try the bench itself; nothing is written.
 * --python: one with PyTorch; without it a virtual environment is made in the user's cache folder.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { capture, run } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { median } from '../finercut/compare.mjs';
import { preparePython } from '../finercut/python.mjs';
import { Machine } from '../lib/machine.mjs';

/** @typedef {{seconds: number, work: number, error: number, vectors: number, iterations?: number, megabytes: number, torch?: string}} Result */

const here = fileURLToPath(new URL('.', import.meta.url));
const program = join(root, 'dist', 'bench-svd.cjs');
const script = join(here, 'pytorch.py');
/** Relative amount by which the peer's error may exceed ours, due to rounding. */
const slack = 1e-4;

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean' }, python: { type: 'string' } },
});
const repeats = options.quick ? 1 : 5;

await bundleCore(join(here, 'espalier.ts'), program);
const python = options.python ?? (await preparePython());
const machine = await Machine.watch();
const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-svd-'));
try {
  const matrix = join(folder, 'matrix.f32');
  await run(python, [script, 'make', matrix], { quiet: true });
  /** @type {{ours: Result, theirs: Result}[]} */
  const runs = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const ours = await turn(process.execPath, [program, matrix]);
    const wanted = String(ours.error * (1 + slack));
    const fewest = String(runs[0]?.theirs.iterations ?? 0);
    const theirs = await turn(python, [
      script,
      'svd',
      matrix,
      String(machine.cores),
      wanted,
      fewest,
    ]);
    runs.push({ ours, theirs });
    say(dim(`${ours.seconds.toFixed(1)} s, PyTorch ${theirs.seconds.toFixed(1)} s`));
  }
  /** @param {(run: typeof runs[number]) => number} value */
  const middle = (value) => median(runs.map(value));
  /** @param {string} name @param {(run: typeof runs[number]) => Result} side */
  const row = (name, side) =>
    `| ${name} | ${middle((run) => side(run).seconds).toFixed(2)} | ` +
    `${middle((run) => side(run).work).toFixed(2)} | ` +
    `${middle((run) => side(run).vectors)} | ${middle((run) => side(run).error).toFixed(5)} | ` +
    `${Math.round(middle((run) => side(run).megabytes))} |`;
  const torch = runs[0]?.theirs.torch;
  const text = [
    '# Randomized SVD against torch.svd_lowrank',
    '',
    await machine.describe({ torch }),
    'Command: `node bench/svd/run.mjs`.',
    '',
    'A matrix of 4096 × 11008 float32 in a file, rank 512, PyTorch with 32 vectors more; its singular values fall as 1/√i.',
    'Espalier adds blocks to its Krylov space until the next one gains less than its tolerance; PyTorch gets the fewest',
    `power iterations whose error is not larger. *Vectors* are those multiplied by A or Aᵀ. Medians of ${runs.length} processes that took`,
    'turns; seconds are those of the decomposition alone (for Espalier with the sessions it makes), memory is the largest',
    'of the whole process.',
    '',
    '| | seconds | CPU seconds | vectors | ‖A − A′‖ / ‖A‖ | MB |',
    '|---|--:|--:|--:|--:|--:|',
    row('Espalier', ({ ours }) => ours),
    row('PyTorch', ({ theirs }) => theirs),
    '',
    `Median of the ratios of neighbors, Espalier / PyTorch: **${middle(({ ours, theirs }) => ours.seconds / theirs.seconds).toFixed(2)}** (of CPU seconds ${middle(({ ours, theirs }) => ours.work / theirs.work).toFixed(2)}).`,
  ].join('\n');
  await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/**
 * @param {string} file
 * @param {string[]} args
 * @returns {Promise<Result>}
 */
async function turn(file, args) {
  const { code, output } = await capture(file, args, { quiet: true });
  if (code !== 0) throw new Error(output);
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '');
}
