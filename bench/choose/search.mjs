/**
 * Ways to choose the same number of sublayers, over several calibration texts: the distance on the calibration
 * tokens and the perplexity on two held-out texts, mean and spread. Prints Markdown tables.
 *
 *     node bench/choose/search.mjs [MODEL] [--pieces 3] [--shares 0.1,0.25,0.4] [--sequences 6] [--length 128]
 *         [--sets 200] [--search exact] [--task FILE | --task continuation] [--keep FOLDER]
 *         [--calibrations FILE,FILE,FILE]
 *
 * --calibrations: calibration texts instead of pieces of the bundled one; brown is the training text of bench/compactifai
 *     from the Brown Corpus, bundled the whole bundled text.
 * --search: mode of the greedy search.
 * --task: task whose accuracy is measured; continuation is the task of bench/compactifai, from the Brown Corpus.
 * --keep: folder for profiles and measurements; the next run with the same flags reuses them.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { writeTexts } from '../compactifai/texts.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { savedProfile } from '../lib/kept-profile.mjs';
import { splitText } from '../lib/pieces.mjs';
import { describeSource } from '../lib/source-types.mjs';
import { writePlan } from '../lib/write-plan.mjs';

/**
 * @typedef {{perplexities: number[], accuracy?: number | undefined}} Quality
 * @typedef {Quality & {distance: number, evaluations: number, cpuSeconds: number, exchanged: number | undefined}} Outcome
 * @typedef {{heldOut: readonly string[], task: string | undefined}} Judges files of texts and of questions
 */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pieces: { type: 'string', default: '3' },
    shares: { type: 'string', default: '0.1,0.25,0.4' },
    sequences: { type: 'string', default: '6' },
    length: { type: 'string', default: '128' },
    sets: { type: 'string', default: '200' },
    search: { type: 'string', default: 'exact' },
    task: { type: 'string' },
    calibrations: { type: 'string' },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const greedy = ['--search', options.search];
const sets = ['--refine-sets', options.sets];

/**
 * Flags of each search by name, and the search whose profile it refines. @type {Record<string,
 * {flags: readonly string[], refines?: string}>}
 */
const ways = {
  random: { flags: ['--search', 'random'] },
  'one-shot': { flags: ['--search', 'one-shot'] },
  greedy: { flags: greedy },
  'greedy, swaps': { flags: [...greedy, '--refine', 'swaps', ...sets], refines: 'greedy' },
  'greedy, evolve': { flags: [...greedy, '--refine', 'evolve', ...sets], refines: 'greedy' },
};

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const samples = join(root, 'samples');
  const calibrations = await calibrationsIn(folder);
  // A novel, and a manual.
  const parts = await splitText(join(samples, 'held-out.txt'), 8);
  const heldOut = await written(folder, 'held-out', [parts[0] ?? '', parts[7] ?? '']);
  const judges = { heldOut, task: await taskIn(folder) };
  const original = await measureQuality(['evaluate', model], judges);
  say(
    `${model}: ${calibrations.length} calibration texts of ${options.sequences} × ${options.length} tokens; ` +
      `original: perplexity ${original.perplexities.map((one) => one.toFixed(2)).join(' and ')}` +
      (original.accuracy === undefined ? '' : `, accuracy ${original.accuracy.toFixed(3)}`),
  );
  say(await describeSource(model));
  for (const share of options.shares.split(',')) {
    const rows = [];
    for (const [name, way] of Object.entries(ways)) {
      /** @type {Outcome[]} */
      const outcomes = [];
      for (const [i, calibration] of calibrations.entries()) {
        outcomes.push(await outcome(folder, { calibration, i, name, share, judges, ...way }));
      }
      rows.push(makeRow(name, outcomes));
    }
    say(
      [
        '',
        `**${Number(share) * 100} % of the sublayers** (mean ± standard deviation over calibration texts)`,
        '',
        '| way | distance on its calibration text | held-out 1: perplexity | held-out 2: perplexity | accuracy | exchanged | sublayer evaluations | CPU seconds |',
        '|---|--:|--:|--:|--:|--:|--:|--:|',
        ...rows,
      ].join('\n'),
    );
  }
}

/**
 * Files of the texts to calibrate on: those that are named, or pieces of the bundled one.
 * @param {string} folder
 * @returns {Promise<readonly string[]>}
 */
async function calibrationsIn(folder) {
  const bundled = join(root, 'samples', 'calibration.txt');
  const named = options.calibrations?.split(',') ?? [];
  if (named.length === 0) {
    const pieces = await splitText(bundled, Number(options.pieces));
    return written(folder, 'calibration', pieces);
  }
  const texts = named.includes('brown') ? await writeTexts(join(folder, 'texts')) : undefined;
  return named.map((name) =>
    name === 'bundled' ? bundled : name === 'brown' ? (texts?.brown ?? name) : name,
  );
}

/**
 * @param {string} folder
 * @param {{calibration: string, i: number, name: string, flags: readonly string[], refines?: string, share: string,
 *   judges: Judges}} run
 * @returns {Promise<Outcome>}
 */
async function outcome(folder, { calibration, i, name, flags, refines, share, judges }) {
  /** @param {string} way */
  const profileFile = (way) =>
    join(folder, `${way.replace(', ', '-')}-${share}-${i}.layerprofile.json`);
  const file = profileFile(name);
  const { rounds, search, refinement, cpuSeconds } = await savedProfile(
    file,
    `${name}, ${share}, text ${i + 1}`,
    [
      ...[model, '--ratio', share, '--calibration', calibration, '--seed', String(i)],
      ...['--sequences', options.sequences, '--length', options.length, ...flags],
    ],
    refines === undefined ? undefined : profileFile(refines),
  );
  return {
    ...(await qualityWithout(folder, rounds, judges)),
    distance: rounds.at(-1).distance,
    exchanged: refinement?.exchanged,
    evaluations: search.sublayerEvaluations,
    cpuSeconds,
  };
}

/**
 * Quality after the removals of a search; measured once for all orders of the same removals, and
 * saved.
 * @param {string} folder
 * @param {readonly {removed: string}[]} rounds
 * @param {Judges} judges
 * @returns {Promise<Quality>}
 */
async function qualityWithout(folder, rounds, judges) {
  const removed = rounds.map((round) => round.removed).sort();
  const key = createHash('sha256').update(removed.join()).digest('hex').slice(0, 12);
  const known = join(folder, `without-${key}.quality.json`);
  if (!existsSync(known)) {
    const plan = join(folder, 'choice.plan.json');
    await writePlan(plan, model, rounds);
    const quality = await measureQuality(['evaluate', '--plan', plan], judges);
    await writeFile(known, JSON.stringify(quality));
  }
  return JSON.parse(await readFile(known, 'utf8'));
}

/**
 * The file of the questions, if any are asked.
 * @param {string} folder
 */
async function taskIn(folder) {
  return options.task === 'continuation'
    ? (await writeTexts(join(folder, 'texts'))).task
    : options.task;
}

/**
 * Perplexity on each text, and accuracy on the task if there is one.
 * @param {readonly string[]} command
 * @param {Judges} judges
 * @returns {Promise<Quality>}
 */
async function measureQuality(command, { heldOut, task }) {
  const perplexities = [];
  for (const text of heldOut) {
    perplexities.push((await espalier([...command, '--text', text, '--whole-text'])).perplexity);
  }
  const judged = task === undefined ? undefined : await espalier([...command, '--task', task]);
  return { perplexities, accuracy: judged?.acc };
}

/**
 * @param {string} name
 * @param {readonly Outcome[]} outcomes
 */
function makeRow(name, outcomes) {
  const cells = [
    formatMean(
      outcomes.map(({ distance }) => distance),
      4,
    ),
    ...[0, 1].map((text) =>
      formatMean(
        outcomes.map(({ perplexities }) => perplexities[text]),
        2,
      ),
    ),
    formatMean(
      outcomes.map(({ accuracy }) => accuracy),
      3,
    ),
    formatMean(
      outcomes.map(({ exchanged }) => exchanged),
      1,
    ),
    formatMean(
      outcomes.map(({ evaluations }) => evaluations),
      0,
    ),
    formatMean(
      outcomes.map(({ cpuSeconds }) => cpuSeconds),
      1,
    ),
  ];
  return `| ${[name, ...cells].join(' | ')} |`;
}

/**
 * @param {readonly (number | undefined)[]} values
 * @param {number} digits
 */
function formatMean(values, digits) {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return '–';
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const squares = known.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / Math.max(1, known.length - 1));
  return `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {readonly string[]} texts
 * @returns {Promise<string[]>} their files
 */
async function written(folder, name, texts) {
  const files = texts.map((_, i) => join(folder, `${name}-${i}.txt`));
  await Promise.all(files.map((file, i) => writeFile(file, texts[i] ?? '')));
  return files;
}
