/**
 * One budget over removals, widths and encodings against each of them alone, at equal bytes or at equal milliseconds of
 * a generated token: the remaining size of these and the perplexity on held-out text of the written models. Prints a Markdown
 * table.
 *
 *     node bench/choose/budget.mjs [MODEL] [--unit bytes|decode] [--shares 0.8,0.6,0.4] [--methods int8,int4]
 *         [--widths 75%,50%,25%] [--rounds 3] [--each] [--gguf] [--way NAME …]
 *         [--keep FOLDER]
 *
 * --unit: what budgets are shares of. Bytes are those of the files, and milliseconds are measured, in turns with the
 *     original.
 * --rounds: times that each plan is made again by what the whole of it showed.
 * --each: also each encoding method alone, such as with --methods int8,int4,lowrank,mpo.
 * --gguf: types of GGUF files as well, at the same bytes; the model must be one that is written as GGUF.
 * --way: what plans may use, such as 'removals, widths', as the table has it; all if absent.
 * --keep: what was measured is kept there, and found there by the next run.
 */
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';
import { describeSource } from '../lib/source-types.mjs';

/**
 * Changes that a plan may use; `method`: this encoding only, `gguf`: written as a GGUF file.
 * @typedef {{encodings: boolean, widths: boolean, removals: boolean, method?: string, gguf?:
 * boolean}} Allowed
 */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    unit: { type: 'string', default: 'bytes' },
    shares: { type: 'string', default: '0.8,0.6,0.4' },
    methods: { type: 'string', default: 'int8,int4' },
    widths: { type: 'string', default: '75%,50%,25%' },
    rounds: { type: 'string', default: '3' },
    each: { type: 'boolean' },
    gguf: { type: 'boolean' },
    way: { type: 'string', multiple: true },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const heldOut = join(root, 'samples', 'held-out.txt');

/** Changes that a plan may use, by name. @type {Record<string, Allowed>} */
const ways = {
  removals: { encodings: false, widths: false, removals: true },
  widths: { encodings: false, widths: true, removals: false },
  encodings: { encodings: true, widths: false, removals: false },
  'removals, widths': { encodings: false, widths: true, removals: true },
  all: { encodings: true, widths: true, removals: true },
};
if (options.each) {
  for (const method of options.methods.split(',')) {
    ways[method] = {
      encodings: true,
      widths: false,
      removals: false,
      method: method.split(/[:+]/)[0] ?? method,
    };
  }
}
if (options.gguf) {
  ways['types of GGUF'] = { encodings: true, widths: false, removals: false, gguf: true };
}

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const table = join(folder, 'all.sensitivity.json');
  const profile = join(folder, 'all.layerprofile.json');
  if (!existsSync(profile)) {
    await espalier(['profile', model, '--remove', 1, '--no-baselines', '--out', profile]);
  }
  if (!existsSync(table)) {
    const how = ['--methods', options.methods, '--widths', options.widths];
    await espalier(['sensitivity', model, ...how, '--out', table]);
  }
  const types = join(folder, 'gguf.sensitivity.json');
  if (options.gguf && !existsSync(types)) {
    await espalier(['sensitivity', model, '--methods', 'gguf', '--out', types]);
  }
  const { perplexity } = await espalier(['evaluate', model, '--text', heldOut, '--whole-text']);
  say(`${model}: perplexity ${perplexity.toFixed(2)} on held-out text`);
  say(await describeSource(model));
  const shares = options.shares.split(',');
  /** @type {string[]} */
  const rows = [];
  const asked = Object.entries(ways).filter(([name]) => options.way?.includes(name) ?? true);
  for (const [name, allowed] of asked) {
    const own = join(folder, 'own.sensitivity.json');
    await writeFile(
      own,
      JSON.stringify(
        only(JSON.parse(await readFile(allowed.gguf ? types : table, 'utf8')), allowed),
      ),
    );
    /** @type {string[]} */
    const cells = [];
    for (const share of shares) {
      cells.push(await outcome(folder, { own, allowed, profile }, share));
      say(dim(`${name}, ${share}: ${cells.at(-1)}`));
    }
    rows.push(`| ${name} | ${cells.join(' | ')} |`);
  }
  say(
    [
      '',
      `| may use | ${shares.map((share) => `${Number(share) * 100} % of the ${options.unit === 'decode' ? 'milliseconds' : 'bytes'}`).join(' | ')} |`,
      `|---|${shares.map(() => '--:|').join('')}`,
      ...rows,
    ].join('\n'),
  );
}

/**
 * Measurements of the allowed changes.
 * @param {any} table
 * @param {Allowed} allowed
 */
function only({ widths, ...table }, allowed) {
  /** @type {(entry: {method: string}) => boolean} */
  const takes = ({ method }) => allowed.method === undefined || method === allowed.method;
  const layers = table.layers.map((/** @type {any} */ layer) =>
    allowed.encodings
      ? { ...layer, entries: layer.entries.filter(takes) }
      : { ...layer, entries: [] },
  );
  return { ...table, layers, ...(allowed.widths ? { widths } : {}) };
}

/**
 * The perplexity of a plan's model, and its size; or that the budget cannot be reached.
 * @param {string} folder
 * @param {{own: string, allowed: Allowed, profile: string}} measured
 * @param {string} share
 */
async function outcome(folder, { own, allowed, profile }, share) {
  const plan = join(folder, 'budget.plan.json');
  const out = join(folder, 'model');
  try {
    await espalier([
      ...['plan-compression', model, '--budget', share, '--unit', options.unit],
      ...['--sensitivity', own, '--rounds', options.rounds, '--out', plan],
      ...(allowed.removals ? ['--profile', profile] : []),
    ]);
  } catch (error) {
    if (/above the budget/.test(String(error))) return 'out of reach';
    throw error;
  }
  const { bytesBefore, bytesAfter, verdict } = await espalier([
    ...['apply', plan, '--out', out, '--overwrite'],
    ...(allowed.gguf ? ['--format', 'gguf'] : []),
    // A limit that always holds: it has the speed measured.
    ...(options.unit === 'decode' ? ['--require', 'speed>-99%'] : ['--no-quality']),
  ]);
  const { perplexity } = await espalier(['evaluate', out, '--text', heldOut, '--whole-text']);
  await rm(out, { recursive: true });
  const speed = verdict?.speed;
  const left = 100 * (speed === undefined ? bytesAfter / bytesBefore : speed.before / speed.after);
  return `${perplexity.toFixed(1)} (${left.toFixed(1)} %)`;
}
