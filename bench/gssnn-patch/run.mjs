/**
 * Benefit of symbolic patches: `espalier patch` for every sublayer of a model, compared with simpler replacements. Writes
 * RESULTS.md. Sublayers that are done are kept in --keep, and taken from there when the bench goes on.
 *
 *     npm run build
 *     node bench/gssnn-patch/run.mjs [--model DIR] [--text FILE] [--keep DIR] [--only ID,ID] [--quick]
 *
 * --only: prints a table of these sublayers; writes nothing.
 * --quick: one sublayer and little text, to try the bench itself; nothing is written.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';

/** @typedef {{kind: string, parameters: number, error: number, loss: number}} Standing */
/** @typedef {{sublayer: string, accepted: boolean, standings: Standing[], seconds: number}} Patched */

const here = fileURLToPath(new URL('.', import.meta.url));
const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'samples', 'espalier-sample') },
    text: { type: 'string', default: join(root, 'samples', 'calibration.txt') },
    keep: { type: 'string', default: join(root, 'dist', 'bench-gssnn-patch') },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const settings = options.quick
  ? ['--sequences', '10', '--graphs', '1', '--epochs', '1']
  : ['--graphs', '2', '--epochs', '20'];
/** Results are kept apart by all that they depend on. */
const measured = JSON.stringify([resolve(options.model), resolve(options.text), settings]);
const keep = join(options.keep, createHash('sha256').update(measured).digest('hex').slice(0, 8));
/** Kinds of the table, as the command names them. */
const kinds = ['graph', 'skip', 'ridge', 'low-rank', 'mlp', 'random-graph'];

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await mkdir(keep, { recursive: true });
  const machine = await Machine.watch();
  /** @type {{sublayers: {id: string}[]}} */
  const { sublayers } = await espalier(['inspect', options.model]);
  /** @type {Patched[]} */
  const done = [];
  const all = options.quick ? sublayers.slice(0, 1) : sublayers;
  for (const id of options.only?.split(',') ?? all.map((one) => one.id)) {
    done.push(await patched(id));
  }
  const text = await report(done, machine);
  say(`\n${text}`);
  if (!options.quick && options.only === undefined) await writeFile(join(here, 'RESULTS.md'), text);
  return 0;
}

/**
 * @param {string} sublayer
 * @returns {Promise<Patched>}
 */
async function patched(sublayer) {
  const savedFile = join(keep, `${sublayer}.json`);
  if (existsSync(savedFile)) return JSON.parse(await readFile(savedFile, 'utf8'));
  const out = join(keep, sublayer);
  const started = performance.now();
  const args = ['patch', options.model, '--sublayer', sublayer, '--calibration', options.text];
  const all = [...args, ...settings, '--out', out, '--overwrite'];
  const { accepted, standings } = await espalier(all);
  const seconds = (performance.now() - started) / 1000;
  const result = { sublayer, accepted, standings, seconds };
  await writeFile(savedFile, JSON.stringify(result));
  say(dim(`${sublayer}: ${accepted ? 'accepted' : 'not accepted'}, ${seconds.toFixed(0)} s`));
  return result;
}

/**
 * @param {readonly Patched[]} done
 * @param {Machine} machine
 */
async function report(done, machine) {
  /**
   * @param {Patched} one
   * @param {'error' | 'loss'} what
   */
  const cells = ({ standings }, what) => {
    const values = kinds.map(
      (kind) => standings.find((standing) => standing.kind === kind)?.[what] ?? Number.NaN,
    );
    const least = Math.min(...values);
    return values.map((value) => {
      const text = what === 'error' ? value.toFixed(3) : value.toPrecision(4);
      return value === least ? `**${text}**` : text;
    });
  };
  /** @param {'error' | 'loss'} what */
  const table = (what) => [
    `| sublayer | ${kinds.join(' | ')} |`,
    `|---|${kinds.map(() => '--:').join('|')}|`,
    ...done.map((one) => `| ${one.sublayer} | ${cells(one, what).join(' | ')} |`),
  ];
  /** @param {'error' | 'loss'} what */
  const firsts = (what) =>
    kinds
      .map((kind) => {
        const count = done.filter(({ standings }) => {
          const least = Math.min(...standings.map((standing) => standing[what]));
          return standings.some((standing) => standing.kind === kind && standing[what] === least);
        }).length;
        return `${kind} ${count}`;
      })
      .join(', ');
  return [
    '# Symbolic patches, sublayer by sublayer',
    '',
    await machine.describe(),
    `Command: \`node bench/gssnn-patch/run.mjs\`, that is \`espalier patch … ${settings.join(' ')}\`.`,
    '',
    `Accepted: ${done.filter(({ accepted }) => accepted).length} of ${done.length}.`,
    '',
    '## Loss: KL to the whole model on texts that nothing was fitted to, nats per token',
    '',
    `Least, how often: ${firsts('loss')}.`,
    '',
    ...table('loss'),
    '',
    '## Error: ‖ŷ − y‖² / ‖y‖² of what the sublayer adds, on the texts that choose',
    '',
    `Least, how often: ${firsts('error')}.`,
    '',
    ...table('error'),
    '',
  ].join('\n');
}
