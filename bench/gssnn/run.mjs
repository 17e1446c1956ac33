/**
 * Search and compression of symbolic programs: programs a second with evaluation, and how time and memory grow;
 * against heap search as published, with states in maps. Prints a Markdown table and, from a quiet machine, writes it to RESULTS.md.
 *
 *     node bench/gssnn/run.mjs [--quick]
 *
 * --quick: few programs, to try the bench itself; nothing is written.
 */
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { median } from '../finercut/compare.mjs';
import { Machine } from '../lib/machine.mjs';

/** @typedef {{milliseconds: number, programs: number, graphs: number, kibibytes: number, processorMilliseconds: number}} Result */

const here = fileURLToPath(new URL('.', import.meta.url));
const program = join(root, 'dist', 'bench-gssnn.cjs');
const { values: options } = parseArgs({ options: { quick: { type: 'boolean' } } });
const repeats = options.quick ? 1 : 3;
/** Programs that the released search went through in 15 s, by its log (its machine is not known). */
const released = { programs: 1_062_451, seconds: 15 };

await bundleCore(join(here, 'measure.ts'), program);
const machine = await Machine.watch();
const million = 1_000_000;
/** @type {[library: string, text: string, counts: number[]][]} */
const searches = [
  ['primitives', 'the ten primitives', [million / 10, million, 10 * million]],
  ['second', 'the released second library, its weights', [million / 10, 1_062_914, 10 * million]],
  ['archived', 'ten primitives, seven archived inventions', [million / 10, million, 10 * million]],
];
/** @type {string[]} */
const rows = [];
for (const [library, text, counts] of searches) {
  for (const count of options.quick ? counts.slice(0, 1) : counts) {
    const result = await middle(['explore', library, String(count)]);
    rows.push(row(text, result));
  }
}
const peerCount = options.quick ? 10_000 : 200_000;
/** @type {number[]} */
const ratios = [];
/** @type {Result[]} */
const textbook = [];
for (let repeat = 0; repeat < repeats; repeat++) {
  const theirs = await turn(['textbook', 'primitives', String(peerCount)]);
  const ours = await turn(['explore', 'primitives', String(peerCount)]);
  textbook.push(theirs);
  ratios.push(theirs.processorMilliseconds / ours.processorMilliseconds);
}
const peer = textbook.sort((a, b) => a.milliseconds - b.milliseconds)[repeats >> 1];
if (peer !== undefined) rows.push(row('heap search as published, the ten primitives', peer));
/** @type {string[]} */
const compressions = [];
for (const count of options.quick ? [5] : [5, 25, 50]) {
  const { programs, graphs, processorMilliseconds } = await middle(['compress', String(count)]);
  compressions.push(`| ${programs} | ${graphs} | ${Math.round(processorMilliseconds)} |`);
}
/** Programs, kept programs and distinct graphs up to a size, as the specification has them. */
const known = {
  programs: [1, 7, 50, 364, 2697, 20308, 155181, 1201781],
  kept: [0, 0, 0, 1, 22, 314, 3712, 39627],
  distinctGraphs: [0, 0, 0, 1, 1, 1, 2, 2],
};
const largest = options.quick ? 6 : 8;
/** @typedef {Record<keyof typeof known, number[]>} Enumeration */
const enumerated = /** @type {Result & Enumeration} */ (await turn(['enumerate', String(largest)]));
for (const what of /** @type {(keyof typeof known)[]} */ (Object.keys(known))) {
  const [found, wanted] = [enumerated[what].join(), known[what].slice(0, largest).join()];
  if (found !== wanted) throw new Error(`${what} by size: ${found} instead of ${wanted}`);
}
const text = [
  '# Symbolic programs: search and compression',
  '',
  await machine.describe(),
  'Command: `node bench/gssnn/run.mjs`.',
  '',
  `Medians of ${repeats} processes, one thread. Time has everything: making the programs in order, building their graphs, telling`,
  'graphs apart, keeping the lightest program of each.',
  'Memory is the most that the process held, Node itself among it.',
  '',
  '| library | programs | graphs | seconds | programs / s | processor seconds | programs / processor second | MiB |',
  '|---|--:|--:|--:|--:|--:|--:|--:|',
  ...rows,
  '',
  `Over heap search as published, with states in maps, at ${peerCount} programs: ${median(ratios).toFixed(1)} times as fast by processor time (median of ${repeats} pairs).`,
  `The released OCaml search went through ${released.programs} programs in ${released.seconds} s by its log, ${Math.round(released.programs / released.seconds)} a second on its authors' machine.`,
  '',
  `All ${enumerated.programs.reduce((sum, count) => sum + count, 0)} programs of up to ${largest} symbols, counted by size: as the specification says, in ${(enumerated.processorMilliseconds / 1000).toFixed(1)} processor seconds.`,
  '',
  'Learning three inventions of up to two holes from a population:',
  '',
  '| programs | inventions | processor milliseconds |',
  '|--:|--:|--:|',
  ...compressions,
  '',
].join('\n');
await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);

/**
 * @param {string} name
 * @param {Result} result
 */
function row(name, { programs, graphs, milliseconds, processorMilliseconds, kibibytes }) {
  const times = [milliseconds, processorMilliseconds].flatMap((time) => [
    (time / 1000).toFixed(2),
    (1000 * Math.round(programs / time)).toLocaleString('en-US').replaceAll(',', ' '),
  ]);
  return `| ${[name, programs, graphs, ...times, Math.round(kibibytes / 1024)].join(' | ')} |`;
}

/**
 * The run of middle time.
 * @param {string[]} args
 */
async function middle(args) {
  /** @type {Result[]} */
  const results = [];
  for (let repeat = 0; repeat < repeats; repeat++) results.push(await turn(args));
  const [result] = results.sort((a, b) => a.milliseconds - b.milliseconds).slice(repeats >> 1);
  if (result === undefined) throw new Error('Nothing was measured.');
  return result;
}

/**
 * @param {string[]} args
 * @returns {Promise<Result>}
 */
async function turn(args) {
  const { code, output } = await capture(process.execPath, [program, ...args], { quiet: true });
  if (code !== 0) throw new Error(output);
  /** @type {Result} */
  const result = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '');
  say(dim(`${args.join(' ')}: ${Math.round(result.milliseconds)} ms`));
  return result;
}
