/**
 * Steps of training against PyTorch eager, on the same models and batch sizes with as many threads, in
 * processes that take turns. Prints a Markdown table and, from a quiet machine, writes it to RESULTS.md.
 *
 *     node bench/training/run.mjs [--quick] [--steps 150] [--repeats 5] [--threads 1,2] [--python INTERPRETER]
 *
 * --threads: numbers of threads, one row each; 1 and one for each core if absent.
 * --python: one with PyTorch; without it a virtual environment is made in the user's cache folder.
 * --quick: few steps, to try the bench itself; nothing is written.
 */
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { median } from '../finercut/compare.mjs';
import { preparePython } from '../finercut/python.mjs';
import { Machine } from '../lib/machine.mjs';

/** @typedef {{milliseconds: number[], preparing?: number, torch?: string}} Result */

const here = fileURLToPath(new URL('.', import.meta.url));
const results = join(here, 'RESULTS.md');
const program = join(root, 'dist', 'bench-training.cjs');
/** Steps at the beginning that are not counted. */
const warmUp = 10;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    steps: { type: 'string', default: '150' },
    repeats: { type: 'string', default: '5' },
    threads: { type: 'string' },
    python: { type: 'string' },
  },
});
const { steps, repeats } = options.quick
  ? { steps: 20, repeats: 1 }
  : { steps: Number(options.steps), repeats: Number(options.repeats) };

const models = {
  mlp: 'MLP 784-256-256-10, batch 128, SGD with momentum',
  cnn: 'CNN conv 32, conv 64 with batch norm and pooling, 28 × 28, batch 64, SGD with momentum',
  transformer: 'transformer of 2 blocks, width 128, 8 × 64 tokens, AdamW',
};

await bundleCore(join(here, 'espalier.ts'), program);
const python = options.python ?? (await preparePython());
const machine = await Machine.watch();
/** @type {string | undefined} */
let torch;
/** @type {string[]} */
const rows = [];
const counts = options.threads?.split(',').map(Number) ?? [...new Set([1, machine.cores])];
for (const [model, text] of Object.entries(models)) {
  for (const threads of counts) {
    /** @type {{ours: number, theirs: number, preparing: number}[]} */
    const runs = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      const common = [model, String(steps), String(threads)];
      const ours = await turn(process.execPath, [program, ...common]);
      const theirs = await turn(python, [join(here, 'pytorch.py'), ...common]);
      torch = theirs.torch ?? torch;
      runs.push({
        ours: step(ours),
        theirs: step(theirs),
        preparing: ours.preparing ?? Number.NaN,
      });
      say(dim(`${model}: ${step(ours).toFixed(2)} ms, PyTorch ${step(theirs).toFixed(2)} ms`));
    }
    /** @param {(run: typeof runs[number]) => number} value */
    const middle = (value) => median(runs.map(value));
    rows.push(
      `| ${text} | ${threads} | ${middle((run) => run.ours).toFixed(2)} | ${middle((run) => run.theirs).toFixed(2)} | ` +
        `${middle((run) => run.ours / run.theirs).toFixed(2)} | ${Math.round(middle((run) => run.preparing))} |`,
    );
  }
}
const text = [
  '# Training: a step against PyTorch eager',
  '',
  await machine.describe({ torch }),
  `Command: \`${['node bench/training/run.mjs', ...process.argv.slice(2)].join(' ')}\`.`,
  '',
  `Milliseconds of a step (forward, backward, update, loss read), float32: the median of ${steps - warmUp}`,
  `steps after ${warmUp} that are not counted, and of that the median of ${repeats} processes that took turns. The ratio is the median of`,
  'the ratios of neighbors. Preparing is building the graph and making the sessions, once.',
  '',
  '| model | threads | Espalier | PyTorch | ratio | preparing |',
  '|---|--:|--:|--:|--:|--:|',
  ...rows,
  '',
].join('\n');
await machine.publish(results, text, !options.quick);

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

/** @param {Result} result */
function step({ milliseconds }) {
  return median(milliseconds.slice(warmUp));
}
