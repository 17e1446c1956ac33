/**
 * Speedup and overhead of a search on several processes: the sample, and SmolLM2-135M where bench/smollm2 has kept it. Then
 * times pieces, what reads their results, and the way through a queue, and simulates many machines by them. Prints
 * Markdown tables and, from a quiet machine, writes them to RESULTS.md. Takes ten minutes.
 *
 *     node bench/distribute/run.mjs [--quick]
 *
 * --quick: a tiny search on the sample, to try the bench itself; nothing is written.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { ensureValkey } from '../../scripts/lib/valkey.mjs';
import { smolLM2Source } from '../finercut/python.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';
import { simulate } from './simulate.mjs';

/**
 * @typedef {{distance: number}} Round
 *
 * @typedef {object} Times
 * @property {{seconds: number, cost: number, evaluated: number}[]} pieces
 * @property {number} waves pieces of a sequence in a round
 * @property {number} reduceMilliseconds of a candidate and a sequence
 * @property {number} queueMilliseconds
 */

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' } } });
const here = fileURLToPath(new URL('.', import.meta.url));
const models = [
  { name: 'espalier-sample', folder: join(root, 'samples', 'espalier-sample'), removals: 6 },
  { name: 'SmolLM2-135M', folder: join(cacheFolder(), 'bench-smollm2-135m'), removals: 2 },
].filter(({ folder }, i) => existsSync(folder) && (i === 0 || !options.quick));
const [sequences, length] = options.quick ? [4, 16] : [8, 128];
const text = join(root, 'samples', 'calibration.txt');
const port = 16379;

/** Parameters of a sublayer, on average over attention and MLP. */
const parametersOf135M = (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536) / 2;
const parametersOf70B = (2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28_672) / 2;

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const machine = await Machine.watch();
  const rows = [];
  for (const { name, folder, removals } of models) {
    /** @type {{seconds: number, rounds: Round[]} | undefined} */
    let alone;
    for (const workers of [1, 2, 4]) {
      say(dim(`${name}, ${workers}`));
      const { value, cpuSeconds = Number.NaN } = await json(process.execPath, [
        ...[cli, 'profile', folder, '--json', '--device', 'cpu', '--search', 'exact'],
        ...['--remove', removals, '--no-baselines', '--workers', workers],
        ...['--calibration', text],
        ...['--sequences', sequences, '--length', length],
      ]);
      const { seconds, sublayerEvaluations } = value.search;
      alone ??= { seconds, rounds: value.rounds };
      const speed = alone.seconds / seconds;
      rows.push(
        `| ${name} | ${removals} | ${workers} | ${seconds.toFixed(1)} | ${speed.toFixed(2)} | ${cpuSeconds.toFixed(1)} | ` +
          `${sublayerEvaluations} | ${difference(alone.rounds, value.rounds).toExponential(1)} |`,
      );
    }
  }
  const lines = [
    '# One search, shared among processes',
    '',
    await machine.describe(),
    '',
    `Exact search, ${sequences} × ${length} tokens. Processor time counts all`,
    'processes and their start. The last column is the greatest difference of a distance from that of one process.',
    smolLM2Source,
    '',
    '| model | removed | processes | seconds | speed | processor seconds | evaluations | difference |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
    '',
    ...(await simulation()),
  ];
  await machine.publish(join(here, 'RESULTS.md'), lines.join('\n'), options.quick !== true);
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

/** Simulated times with many machines, as Markdown. */
async function simulation() {
  const { name, folder } = models.at(-1) ?? { name: '', folder: '' };
  const { pieces, waves, reduceMilliseconds, queueMilliseconds } = await measure(folder);
  /** @param {(piece: Times['pieces'][number]) => number} value */
  const sum = (value) => pieces.reduce((total, piece) => total + value(piece), 0);
  const evaluationSeconds = sum(({ seconds }) => seconds) / sum((piece) => piece.evaluated);
  const evaluated = sum((piece) => piece.evaluated) / sum(({ cost }) => cost);
  const spread = pieces
    .map((piece) => piece.seconds / (piece.evaluated * evaluationSeconds))
    .sort((a, b) => a - b);
  /** @param {number} share */
  const quantile = (share) => (spread[Math.floor(share * (spread.length - 1))] ?? 1).toFixed(2);
  const measured = {
    spread,
    queueSeconds: queueMilliseconds / 1000,
    reduceSeconds: reduceMilliseconds / 1000,
  };
  const rows = [];
  for (const factor of [1, 1000]) {
    const faster = evaluationSeconds / factor;
    const large = (faster * parametersOf70B) / parametersOf135M;
    for (const search of [
      { what: 'SmolLM2-135M', sublayers: 60, removals: 15, sequences: 128, each: faster },
      { what: '70B', sublayers: 160, removals: 40, sequences: 128, each: large },
    ]) {
      const evaluation = { evaluationSeconds: search.each, evaluated, waves: Math.round(waves) };
      const all = { ...search, ...evaluation };
      const alone = simulate(all, measured, 1).seconds;
      for (const workers of [1, 8, 64]) {
        const { seconds, busy } = simulate(all, measured, workers);
        rows.push(
          `| ${search.what} | ${factor === 1 ? 'as this one' : `${factor} times as fast`} | ${workers} | ${duration(seconds)} | ` +
            `${(alone / seconds).toFixed(1)} | ${(100 * busy).toFixed(0)} % |`,
        );
      }
    }
  }
  return [
    '## Simulated: many machines',
    '',
    `Measured on ${name}, ${length} tokens, one thread while another one works: ${pieces.length} work items, which take`,
    `${(1000 * evaluationSeconds).toFixed(1)} ms for each sublayer evaluation, head and metric included, times ${quantile(0.05)} to ${quantile(0.95)} (5 % and 95 %);`,
    `${waves.toFixed(1)} of them in a round of a sequence; ${(100 * evaluated).toFixed(0)} % of the evaluations of all candidates are made. An order and its result take ${queueMilliseconds.toFixed(0)} ms`,
    `through a queue on this machine; to read and keep a result, ${(1000 * reduceMilliseconds).toFixed(0)} µs for each candidate.`,
    '',
    'Simulated from these (`simulate.mjs`): exact search on 128 sequences of as many tokens, a quarter of the sublayers',
    'removed, every machine with the model in its memory. A sublayer of a 70B model (80 blocks, 8192 wide) is taken to',
    'cost as many times more as it has parameters, head and metric as well, which is too much for them. Busy is the share of the time',
    'in which workers compute.',
    '',
    '| model | machines | workers | time | speed | busy |',
    '|---|---|---:|---:|---:|---:|',
    ...rows,
  ];
}

/**
 * Times work items of a model, and a queue.
 * @param {string} model
 * @returns {Promise<Times>}
 */
async function measure(model) {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
  const program = join(root, 'dist', 'bench-distribute.cjs');
  await bundleCore(join(here, 'measure.ts'), program);
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const server = spawn(await ensureValkey(), settings, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    const { code, output } = await capture(
      process.execPath,
      [
        ...[program, model, join(root, 'dist', 'pieces.js')],
        ...[options.quick ? '3' : '2', String(length), text, `redis://127.0.0.1:${port}`, folder],
      ],
      { quiet: true },
    );
    if (code !== 0) throw new Error(output);
    return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '');
  } finally {
    server.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param {number} seconds */
function duration(seconds) {
  const [size, unit] =
    seconds < 120
      ? [1, 's']
      : seconds < 7200
        ? [60, 'min']
        : seconds < 172_800
          ? [3600, 'h']
          : [86_400, 'days'];
  return `${(seconds / Number(size)).toFixed(1)} ${unit}`;
}
