/**
 * Number of transformers models that can be opened, run, pruned and opened again: a tiny random model of each
 * `model_type`, whose output is compared with transformers'. Models are kept in the user's cache folder; the others are made first.
 *
 *     node bench/coverage/run.mjs [TASK]                   everything, or causal, masked or image; writes that of RESULTS.md
 *     node bench/coverage/run.mjs TASK TYPE ...            these types, made again
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { capture, run } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { preparePython } from '../finercut/python.mjs';

/** @typedef {{folder: string, failed?: string, reason?: string, error?: number, single?: string}} Row */

const here = fileURLToPath(new URL('.', import.meta.url));
const script = join(root, 'test', 'fixtures', 'tiny_models.py');
const tasks = {
  causal: 'Causal language models',
  masked: 'Masked language models',
  image: 'Image classification',
};
const steps = ['make', 'inspect', 'run', 'output', 'remove', 'load'];

await main(process.argv.slice(2));

/** @param {string[]} args */
async function main([only, ...types]) {
  const python = await preparePython();
  const source = await readFile(script, 'utf8');
  const key = createHash('sha256').update(source).digest('hex').slice(0, 12);
  const cache = join(cacheFolder(), `bench-coverage-${key}`);
  const measure = join(cache, 'measure.cjs');
  await mkdir(cache, { recursive: true });
  await bundleCore(join(here, 'measure.ts'), measure);
  const chosen = Object.keys(tasks).filter((task) => only === undefined || only === task);
  const sections = await storedSections();
  for (const task of chosen) {
    const folder = join(cache, task);
    if (types.length > 0 || !existsSync(folder))
      await run(python, [script, folder, task, ...types], { quiet: true });
    const made = types.length > 0 ? types : await namesIn(folder);
    const rows = await measured(
      measure,
      made.map((type) => join(folder, type)),
    );
    await checkLoading(python, rows);
    const section = describe(task, rows);
    sections.set(task, section);
    say(section);
  }
  if (types.length === 0) await writeFile(join(here, 'RESULTS.md'), document(sections));
}

/**
 * Section of RESULTS.md for each task.
 * @returns {Promise<Map<string, string>>}
 */
async function storedSections() {
  const text = await readFile(join(here, 'RESULTS.md'), 'utf8');
  const sections = text.split(/^(?=## )/m).slice(1);
  return new Map(
    Object.entries(tasks).map(([task, title]) => [
      task,
      (sections.find((section) => section.startsWith(`## ${title}\n`)) ?? '').trim(),
    ]),
  );
}

/** @param {string} folder */
async function namesIn(folder) {
  const names = await readdir(folder);
  return names.filter((name) => !/-pruned(\.logits)?$/.test(name)).sort();
}

/**
 * @param {string} measure
 * @param {string[]} folders
 * @returns {Promise<Row[]>}
 */
async function measured(measure, folders) {
  const { output } = await capture(process.execPath, [measure, ...folders], { quiet: true });
  return lines(output);
}

/**
 * Has transformers load what was written, and notes where its output is another.
 * @param {string} python
 * @param {Row[]} rows
 */
async function checkLoading(python, rows) {
  const whole = rows.filter(({ failed }) => failed === undefined);
  const folders = whole.flatMap(({ folder, single }) =>
    [`${folder}-pruned`, `${folder}-single-pruned`].slice(0, single === undefined ? 2 : 1),
  );
  const { output } = await capture(python, [script, '--check', ...folders], { quiet: true });
  for (const { folder, error, failure } of lines(output)) {
    const row = whole.find((one) => folder.startsWith(`${one.folder}-`));
    if (row !== undefined && !(error <= 1e-4)) {
      row.failed = 'load';
      const what = folder.endsWith('-single-pruned') ? 'single sublayers: ' : '';
      row.reason = `${what}${failure ?? `transformers differs by ${Number(error).toExponential(1)}`}`;
    }
  }
}

/**
 * @param {string} output
 * @returns {any[]}
 */
function lines(output) {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

/**
 * @param {string} task
 * @param {Row[]} rows
 */
function describe(task, rows) {
  const whole = rows.filter(({ failed }) => failed === undefined);
  const reached = (/** @type {string} */ step) =>
    rows.filter(({ failed }) => failed === undefined || steps.indexOf(failed) > steps.indexOf(step))
      .length;
  const counts = `${rows.length} types: ${reached('make')} made small, ${reached('inspect')} opened, ${reached('output')} with the output of transformers to 1e-4, ${reached('remove')} pruned by a block and opened again, ${whole.length} loaded by transformers with that output, ${whole.filter(({ single }) => single === undefined).length} without single sublayers too.`;
  return [
    `## ${tasks[/** @type {keyof typeof tasks} */ (task)]}`,
    '',
    counts,
    '',
    `All steps: ${whole.map(({ folder }) => basename(folder)).join(', ')}.`,
    '',
    '| type | fails at | why |',
    '|---|---|---|',
    ...rows
      .filter(({ failed }) => failed !== undefined)
      .map(
        ({ folder, failed, reason }) => `| ${basename(folder)} | ${failed} | ${short(reason)} |`,
      ),
  ].join('\n');
}

/** @param {string} [reason] */
function short(reason = '') {
  return reason
    .replace(/ Known are .*/, '')
    .replaceAll(dirname(root), '')
    .replaceAll('|', '\\|')
    .slice(0, 160);
}

/** @param {Map<string, string>} sections */
function document(sections) {
  say(dim('writing RESULTS.md'));
  return `# Coverage of the models that transformers 5.24 knows

A tiny random model of every \`model_type\`; \`node bench/coverage/run.mjs\`. Steps: make (transformers builds it small), inspect, run, output
(its output within 1e-4 of transformers'), remove (block 1 goes, the folder is written and opened again; another
without an attention sublayer and an MLP, where the layout can say it), load (transformers loads both and agrees).

${[...sections.values()].join('\n\n')}
`;
}
