/**
 * Steps of training against PyTorch eager, on the same models and batch sizes with as many threads, in
 * processes that take turns. Prints a Markdown table and writes it to RESULTS.md.
 *
 *     node bench/training/run.mjs [--quick] [--steps 150] [--repeats 5] [--threads 1,2]
 *
 * --threads: numbers of threads, one row each; 1 and one for each core if absent.
 * --quick: few steps, to try the bench itself; nothing is written.
 */
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { median } from '../finercut/compare.mjs';
import { busySeconds, describeMachine, load, physicalCores } from '../finercut/machine.mjs';
import { preparePython } from '../finercut/python.mjs';

/** @typedef {{milliseconds: number[], cpuSeconds: number, preparing?: number, torch?: string}} Result */

const here = fileURLToPath(new URL('.', import.meta.url));
const results = join(here, 'RESULTS.md');
const program = join(root, 'dist', 'bench-training.cjs');
/** Steps at the beginning that are not counted. */
const warmUp = 10;
/** Share of the processors that other processes may take before times mean nothing. */
const busy = 0.1;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    steps: { type: 'string', default: '150' },
    repeats: { type: 'string', default: '5' },
    threads: { type: 'string' },
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

await build({
  entryPoints: [join(here, 'espalier.ts')],
  outfile: program,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['onnxruntime-node'],
  mainFields: ['module', 'main'],
});
const python = await preparePython();
const cores = await physicalCores();
const quiet = load();
let torch = '';
let others = 0;
/** @type {string[]} */
const rows = [];
const counts = options.threads?.split(',').map(Number) ?? [...new Set([1, cores])];
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
  `${await describeMachine(cores, undefined)}, PyTorch ${torch}. Load before: ${quiet}.`,
  `Command: \`${['node bench/training/run.mjs', ...process.argv.slice(2)].join(' ')}\`.`,
  '',
  `Milliseconds of a step (forward, backward, update, loss read), float32: the median of ${steps - warmUp}`,
  `steps after ${warmUp} that are not counted, and of that the median of ${repeats} processes that took turns. The ratio is the median of`,
  'the ratios of neighbours. Preparing is building the graph and making the sessions, once.',
  '',
  '| model | threads | Espalier | PyTorch | ratio | preparing |',
  '|---|--:|--:|--:|--:|--:|',
  ...rows,
  '',
  `Other processes took up to ${Math.round(100 * others)} % of the processors in a run.`,
  ...(others > busy ? ['**The machine was busy: do not quote these times; run again.**'] : []),
  '',
].join('\n');
say(`\n${text}`);
if (!options.quick) await writeFile(results, text);

/**
 * One process, and what ran beside it.
 * @param {string} file
 * @param {string[]} args
 * @returns {Promise<Result>}
 */
async function turn(file, args) {
  const [before, started] = [busySeconds(), performance.now()];
  const { code, output } = await capture(file, args, { quiet: true });
  if (code !== 0) throw new Error(output);
  const seconds = (performance.now() - started) / 1000;
  /** @type {Result} */
  const result = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '');
  const foreign = busySeconds() - before - result.cpuSeconds;
  others = Math.max(others, foreign / (seconds * cpus().length));
  return result;
}

/** @param {Result} result */
function step({ milliseconds }) {
  return median(milliseconds.slice(warmUp));
}
