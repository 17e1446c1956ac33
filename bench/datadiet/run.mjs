/**
 * Effect of data diet on accuracy: MNIST with an MLP and a small CNN, CIFAR-10 with a small ResNet, clean and
 * with wrong labels, through the command line. Writes RESULTS.md. Not a timing: run it with nice.
 *
 *     node bench/datadiet/run.mjs [--quick] [--only mlp|cnn|resnet] [--seeds N] [--threads 1] [--again]
 *
 * --quick: one run of one epoch each, to try the bench itself; nothing is written.
 * --again: repeats experiments whose result is in the cache folder, instead of reusing it.
 * Stopped, it goes on where it was.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { run } from '../../scripts/lib/processes.mjs';
import { say } from '../../scripts/lib/terminal.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';
import { cifar10, mnist } from './data.mjs';

/**
 * @typedef {{choice: string, policy?: string, offset?: number, keep: number, examples: number, steps: number,
 *   mean: number, deviation?: number, wrongLabels?: number, seconds: number}} Row
 * @typedef {{rows: Row[], scorings: {choice: string, interRunSpearman: number | null, seconds: number, noiseAuroc?: number}[],
 *   request: {seeds: number, runs: number, epochs: number}}} Result
 */

const here = fileURLToPath(new URL('.', import.meta.url));
const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    only: { type: 'string' },
    seeds: { type: 'string' },
    threads: { type: 'string' },
    again: { type: 'boolean' },
  },
});

/** Scoring and training as in the specification of the MNIST figures. */
const mnistArguments = [
  '--score',
  'el2n@3,grand@0',
  '--runs',
  '10',
  '--epochs',
  '3',
  '--seeds',
  '3',
];
const noise = ['--noise', '0.1', '--offset', '0.1'];

const experiments = [
  {
    name: 'mlp',
    title: 'MNIST, 60 000 images, MLP 784-256-10',
    data: () => mnist(),
    args: mnistArguments,
  },
  {
    name: 'cnn',
    title: 'MNIST, the first 10 000 images, CNN 3×3×32, 3×3×64',
    data: () => mnist(10_000),
    args: ['--score', 'el2n@1', '--runs', '3', '--epochs', '2', '--seeds', '2'],
  },
  {
    name: 'resnet',
    title: 'CIFAR-10, 10 000 images (the first batch), ResNet-8',
    data: () => cifar10(1),
    args: [
      ...['--score', 'el2n@2', '--runs', '3', '--epochs', '4', '--seeds', '2'],
      ...['--keep', '0.5', '--schedule', 'cosine'],
    ],
  },
];
const quick = [
  '--runs',
  '1',
  '--epochs',
  '1',
  '--seeds',
  '1',
  '--score',
  'el2n@1',
  '--keep',
  '0.2',
];

if (!isBuilt()) process.exit(1);
const machine = await Machine.watch();
const work = join(cacheFolder(), options.quick ? 'bench-datadiet-quick' : 'bench-datadiet');
await mkdir(work, { recursive: true });
const sections = [];
for (const { name, title, data, args } of experiments) {
  const asked = options.only === undefined || options.only === name;
  for (const [label, more] of /** @type {const} */ ([
    ['clean', ['--policy', 'max']],
    ['10 % of the labels wrong', noise],
  ])) {
    const out = join(work, `${name}-${label === 'clean' ? 'clean' : 'noise'}.json`);
    const threads = options.threads === undefined ? [] : ['--threads', options.threads];
    const seeds = options.seeds === undefined ? [] : ['--seeds', options.seeds];
    const size = options.quick ? [...args, ...quick] : [...args, ...seeds];
    const command = ['data-diet', '--model', name, ...more, ...size, ...threads];
    if (asked && (options.again || options.quick || !existsSync(out))) {
      say(`${title}, ${label}`);
      await run(process.execPath, [cli, ...command, '--data', await data(), '--out', out]);
    }
    if (!existsSync(out)) continue;
    /** @type {Result} */
    const result = JSON.parse(await readFile(out, 'utf8'));
    sections.push(section(`${title}; ${label}`, command, result));
  }
}
const text = [
  '# Data diet: accuracy of models trained on chosen examples',
  '',
  `${await machine.describe()} Command: \`node bench/datadiet/run.mjs\`.`,
  'Every part is trained for as many steps as the whole. ± is the standard deviation over seeds.',
  '',
  ...sections,
].join('\n');
say(`\n${text}`);
if (!options.quick) await writeFile(join(here, 'RESULTS.md'), text);

/**
 * @param {string} title
 * @param {readonly string[]} command
 * @param {Result} result
 */
function section(title, command, { rows, scorings, request }) {
  const scores = scorings.map(({ choice, interRunSpearman, noiseAuroc }) => {
    const noisy =
      noiseAuroc === undefined ? '' : `, AUROC of wrong labels ${noiseAuroc.toFixed(3)}`;
    return `- ${choice}: ${request.runs} runs, Spearman between runs ${interRunSpearman?.toFixed(3) ?? '–'}${noisy}`;
  });
  return [
    `## ${title}`,
    '',
    `\`espalier ${command.join(' ')} --data DIR --out FILE\``,
    '',
    ...scores,
    '',
    '| trained on | examples | steps | test accuracy, % | wrong labels |',
    '|---|--:|--:|--:|--:|',
    ...rows.map((row) => {
      const policy = row.policy === undefined || row.policy === 'random' ? '' : ` ${row.policy}`;
      const offset = row.offset === undefined ? '' : ` after ${row.offset}`;
      const spread = row.deviation === undefined ? '' : ` ± ${(100 * row.deviation).toFixed(2)}`;
      const wrong = row.wrongLabels === undefined ? '' : `${(100 * row.wrongLabels).toFixed(1)} %`;
      return `| ${row.choice}${policy}${offset} | ${row.examples} | ${row.steps} | ${(100 * row.mean).toFixed(2)}${spread} | ${wrong} |`;
    }),
    '',
  ].join('\n');
}
