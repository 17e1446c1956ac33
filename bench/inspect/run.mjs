// // Measures the time and memory until a model's structure is known: npm run build && node
// bench/inspect/run.mjs Each run forks a new inspector, as the editor does for the first model that
// it opens, and asks it a second time.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';
import { root } from '../../scripts/lib/repository.mjs';
import { Machine } from '../lib/machine.mjs';
import { experts, llama8b, writeModel } from './models.mjs';

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '7' } } });
const runs = Number(options.runs);
const inspector = join(root, 'dist', 'inspector.js');

/** @typedef {{first: number, second: number, megabytes: number, tensors: number, understood: string}} Run */

/**
 * @param {string} model
 * @returns {Promise<Run>}
 */
async function measure(model) {
  const started = performance.now();
  const child = fork(inspector, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const connection = createMessageConnection(
    new IPCMessageReader(child),
    new IPCMessageWriter(child),
  );
  connection.listen();
  const ask = () => connection.sendRequest('describe', { job: 1, request: { model } });
  const description = await ask();
  const first = performance.now() - started;
  const again = performance.now();
  await ask();
  const second = performance.now() - again;
  const megabytes = await peakMegabytes(child.pid);
  connection.dispose();
  const exited = once(child, 'exit');
  child.kill();
  await exited;
  const { totals, understood } = description;
  return { first, second, megabytes, tensors: totals.tensors, understood: understood.by };
}

/**
 * Highest resident memory of a process so far.
 * @param {number | undefined} pid
 */
async function peakMegabytes(pid) {
  if (process.platform !== 'linux') return Number.NaN;
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** @param {number[]} values */
function worst(values) {
  return Math.max(...values);
}

const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
const machine = await Machine.watch();
/** @type {string[]} */
const rows = [];
try {
  const single = { ...llama8b, name: `${llama8b.name}, one file`, shards: 1 };
  for (const [index, model] of [llama8b, single, experts].entries()) {
    const path = join(folder, String(index));
    const bytes = await writeModel(path, model);
    /** @type {Run[]} */
    const results = [];
    for (let run = 0; run < runs; run++) results.push(await measure(path));
    const [{ tensors = 0, understood = '' } = {}] = results;
    const milliseconds = (/** @type {'first' | 'second'} */ which) => {
      const values = results.map((result) => result[which]);
      return `${median(values).toFixed(0)} (${worst(values).toFixed(0)})`;
    };
    const memory = worst(results.map(({ megabytes }) => megabytes)).toFixed(0);
    rows.push(
      `| ${model.name} | ${(bytes / 1e9).toFixed(1)} GB | ${model.shards} | ${tensors} | ${understood} | ` +
        `${milliseconds('first')} | ${milliseconds('second')} | ${memory} |`,
    );
    await rm(path, { recursive: true });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
await machine.publish(
  join(import.meta.dirname, 'RESULTS.md'),
  `# Opening a model: time and memory until its structure is there

${await machine.describe()}
Command: \`npm run build && node bench/inspect/run.mjs\`.

The files have the headers of full-sized models and holes instead of weights, in the page cache. *First* is from forking the
inspector to its answer, as when the editor opens its first model; *second* asks the same process again. Milliseconds, median of ${runs}
runs (worst); memory is the highest resident size of the inspector after both, in MiB, worst of ${runs}. *By* says what put the tensors
into blocks: the architecture table, or the names alone.

| model | size | files | tensors | by | first, ms | second, ms | MiB |
|---|--:|--:|--:|---|--:|--:|--:|
${rows.join('\n')}
`,
);
