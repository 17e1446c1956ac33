/**
 * Measures CompactifAI on the sample model and SmolLM2-135M-Instruct, dense and in every encoding, before and after
 * repair, through the command line: bytes, parameters, perplexity on two held-out corpora, a task and a generation.
 * Writes RESULTS.md. Reuses results that are in the folder.
 *
 *     npm run build && node bench/compactifai/run.mjs [--only sample|smollm2] [--rows KEY,…] [--folder DIR]
 *     node bench/compactifai/run.mjs --timing
 *     node bench/compactifai/run.mjs --goal
 *
 * --rows: only these rows of rows.mjs, measured again even if known.
 * --timing: only measures the speed of the models in the folder; results from a busy machine are printed but not kept.
 * --goal: only repairs SmolLM2 without a quarter of its sublayers; fails if less than half of the lost log-perplexity
 *   is recovered.
 * --rounds N: number of repetitions, 3 by default.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { espalier as run, isBuilt } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';
import { describeSource } from '../lib/source-types.mjs';
import { median } from '../finercut/compare.mjs';
import { preparePython, prepareSmolLM2 } from '../finercut/python.mjs';
import { repairGoal } from './goal.mjs';
import { report } from './report.mjs';
import { rowsFor } from './rows.mjs';
import { writeTexts } from './texts.mjs';

/**
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {{name: string, title: string, source: () => Promise<string>, rows: readonly Row[]}} Subject
 * @typedef {{bundled: number, brown: number, acc: number, accError: number}} Judged
 * @typedef {{bytes: number, parameters: number, generation: string, judged?: Judged, lossBefore?: number,
 *   lossAfter?: number}} Quality
 * @typedef {{decode: number, prefill: number, decodeRatio: number, prefillRatio: number}} Speed
 * @typedef {{quality: Record<string, Quality>, speed?: Record<string, Speed>, machine?: string}} Results
 */

const here = fileURLToPath(new URL('.', import.meta.url));
const device = ['--device', 'cpu'];
const prompt = 'The old house stood at the end of the road, and';
const windows = ['--length', '256', '--stride', '192'];
/** Tokens that a round of the timing pass generates, and bytes of text that it reads at once. */
const [generatedTokens, readBytes] = [48, 2400];

const truncated = ['lowrank-75', 'lowrank-50', 'mpo-75', 'mpo-50-int4'];

/** @type {readonly Subject[]} */
const subjects = [
  {
    name: 'sample',
    title: 'The sample model (3.8 M parameters)',
    source: async () => join(root, 'samples', 'espalier-sample'),
    rows: rowsFor([...truncated, 'int4', 'int4-gptq', 'int8'], []),
  },
  {
    name: 'smollm2',
    title: 'SmolLM2-135M-Instruct',
    source: async () => prepareSmolLM2(await preparePython()),
    // // A fifth of the default training, so that it finishes on two cores; int8 and int4 have too
    // little loss to repair.
    rows: rowsFor(truncated, ['--sequences', '96', '--epochs', '1', '--memory', '12GiB']),
  },
];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    rows: { type: 'string' },
    folder: { type: 'string' },
    timing: { type: 'boolean' },
    goal: { type: 'boolean' },
    rounds: { type: 'string', default: '3' },
  },
});

const asked = options.rows?.split(',');

process.exitCode = await main(options.folder ?? join(cacheFolder(), 'bench-compactifai'));

/** @param {string} folder */
async function main(folder) {
  if (!isBuilt()) return 1;
  const texts = await writeTexts(join(folder, 'texts'));
  if (options.goal) {
    const model = await prepareSmolLM2(await preparePython());
    const isReached = await repairGoal({ model, folder: join(folder, 'goal'), texts, espalier });
    return isReached ? 0 : 1;
  }
  const sections = [];
  for (const subject of subjects) {
    const models = join(folder, subject.name);
    const file = join(folder, `${subject.name}.json`);
    /** @type {Results} */
    const results = existsSync(file) ? JSON.parse(await readFile(file, 'utf8')) : { quality: {} };
    const keep = async () => writeFile(file, `${JSON.stringify(results, undefined, 1)}\n`);
    if (options.only === undefined || options.only === subject.name) {
      await mkdir(models, { recursive: true });
      if (options.timing) {
        const machine = await Machine.watch();
        const found = Object.entries(await measureSpeed(subject, models, texts));
        const { sentence, isQuiet } = await machine.verdict();
        const wanted = found.filter(([key]) => asked?.includes(key) !== false);
        if (isQuiet) {
          results.speed = { ...results.speed, ...Object.fromEntries(wanted) };
          const measuredOn = `${await machine.describe()} ${sentence}`;
          results.machine = asked === undefined ? measuredOn : (results.machine ?? measuredOn);
          await keep();
        } else {
          say(red(`${sentence} The machine was busy: these speeds are not kept; run again.`));
          say(JSON.stringify(Object.fromEntries(wanted), undefined, 1));
        }
      } else {
        const open = subject.rows.filter(
          ({ key }) => asked?.includes(key) ?? results.quality[key] === undefined,
        );
        open.sort((a, b) => a.turn - b.turn);
        for (const row of open) {
          results.quality[row.key] = await measureQuality(subject, row, models, texts);
          await keep();
        }
      }
    }
    const dense = join(models, 'dense');
    const stored = existsSync(dense) ? await describeSource(dense) : undefined;
    sections.push({ ...subject, results, stored });
  }
  const text = report(sections, prompt);
  // // Results are published only if they cover both models.
  if (sections.every(({ results }) => results.quality['dense'] !== undefined)) {
    await writeFile(join(here, 'RESULTS.md'), text);
  }
  say(`\n${text}`);
  return 0;
}

/** @param {readonly (string | number)[]} args */
async function espalier(args) {
  say(dim(`espalier ${args.join(' ')}`));
  return run([...args, ...device]);
}

/**
 * Writes the model of a row unless the folder already contains it, and judges it.
 * @param {Subject} subject
 * @param {Row} row
 * @param {string} models
 * @param {import('./texts.mjs').Texts} texts
 * @returns {Promise<Quality>}
 */
async function measureQuality({ source }, row, models, texts) {
  const model = join(models, row.key);
  const repaired = `${model}.repair.json`;
  // A repaired model whose losses were not kept is repaired again.
  const isWhole = existsSync(model) && (row.repairs === undefined || existsSync(repaired));
  if (!isWhole) {
    const dense = join(models, 'dense');
    if (row.compress !== undefined) {
      await espalier(['compress', dense, ...row.compress, '--out', model]);
    } else if (row.repairs !== undefined) {
      const from = join(models, row.repairs);
      const options = ['--teacher', dense, '--calibration', texts.learn, ...(row.repair ?? [])];
      const { lossBefore, lossAfter } = await espalier([
        ...['repair', from, ...options, '--out', model, '--overwrite'],
      ]);
      await writeFile(repaired, JSON.stringify({ lossBefore, lossAfter }));
    } else {
      await symlink(await source(), model);
    }
  }
  const { bytes, parameters } = await run(['inspect', model]);
  const { text } = await espalier(['generate', model, '--prompt', prompt, '--tokens', 30]);
  const losses = existsSync(repaired) ? JSON.parse(await readFile(repaired, 'utf8')) : {};
  const found = { bytes, parameters, generation: text, ...losses };
  if (row.sameAs !== undefined) {
    return found;
  }
  /** @param {string} text */
  const perplexity = async (text) =>
    (await espalier(['evaluate', model, '--text', text, '--whole-text', ...windows])).perplexity;
  const { acc, accError } = await espalier(['evaluate', model, '--task', texts.task]);
  return {
    ...found,
    judged: {
      bundled: await perplexity(texts.heldOut.bundled),
      brown: await perplexity(texts.heldOut.brown),
      acc,
      accError,
    },
  };
}

/**
 * Tokens per second of every written model: medians of rounds, and of the ratios to the dense model in the same round.
 * A repaired model runs as the one that it was made from.
 * @param {Subject} subject
 * @param {string} models
 * @param {import('./texts.mjs').Texts} texts
 * @returns {Promise<Record<string, Speed>>}
 */
async function measureSpeed({ rows }, models, texts) {
  const text = join(models, 'timing.txt');
  await writeFile(text, (await readFile(texts.heldOut.brown)).subarray(0, readBytes));
  const timed = rows.filter(
    ({ key, repairs }) =>
      repairs === undefined &&
      existsSync(join(models, key)) &&
      (key === 'dense' || asked?.includes(key) !== false),
  );
  /** @type {Map<string, {decode: number, prefill: number}[]>} */
  const found = new Map(timed.map(({ key }) => [key, []]));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const { key } of timed) {
      const model = join(models, key);
      const generated = await espalier([
        ...['generate', model, '--prompt', prompt, '--tokens', generatedTokens],
      ]);
      const read = await espalier([
        'evaluate',
        model,
        '--text',
        text,
        '--whole-text',
        '--length',
        256,
      ]);
      found.get(key)?.push({ decode: generated.tokensPerSecond, prefill: read.tokensPerSecond });
    }
  }
  const dense = found.get('dense') ?? [];
  return Object.fromEntries(
    [...found].map(([key, runs]) => {
      /** @param {'decode' | 'prefill'} what */
      const ratio = (what) =>
        median(runs.map((run, i) => run[what] / (dense[i]?.[what] ?? Number.NaN)));
      return [
        key,
        {
          decode: median(runs.map(({ decode }) => decode)),
          prefill: median(runs.map(({ prefill }) => prefill)),
          decodeRatio: ratio('decode'),
          prefillRatio: ratio('prefill'),
        },
      ];
    }),
  );
}
