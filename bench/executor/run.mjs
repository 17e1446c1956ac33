/**
 * The executor against the arithmetic it does: a sublayer evaluation against its matrix products, head and metric
 * against the head's product, and the memory of a profile against its setting. Models have random weights. Prints
 * Markdown and, from a quiet machine, writes it to RESULTS.md. Needs 1.4 GB in the temporary folder.
 *
 *     node bench/executor/run.mjs [--quick]
 *
 * --quick: small models, to try the bench itself; nothing is written.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeModel } from './models.mjs';

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' } } });
const here = fileURLToPath(new URL('.', import.meta.url));
const smolLM2 = {
  ...{ hidden: 576, inner: 1536, heads: 9, keyValueHeads: 3, headDim: 64 },
  ...{ blocks: options.quick ? 2 : 30, vocabulary: options.quick ? 4096 : 49152 },
};
const largeVocabulary = {
  ...{ hidden: 640, inner: 2048, heads: 4, keyValueHeads: 1, headDim: 256 },
  ...{ blocks: 1, vocabulary: options.quick ? 8192 : 262144 },
};
/** Settings of memory in MiB, and how much more a profile may take, in bytes. */
const settings = options.quick ? [128] : [200, 300, 400, 1024];
const slack = 200e6;
/** Milliseconds between two looks at a process. */
const interval = 100;

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  const machine = await Machine.watch();
  const folder = await mkdtemp(join(tmpdir(), 'espalier-executor-'));
  try {
    const [small, large] = [join(folder, 'small'), join(folder, 'large')];
    await writeModel(small, smolLM2);
    await writeModel(large, largeVocabulary);
    const script = join(root, 'dist', 'bench-executor.cjs');
    await bundleCore(join(here, 'measure.ts'), script);
    /** @type {(what: string, model: string) => Promise<Record<string, number>>} */
    const measure = async (what, model) => {
      const { value } = await json(process.execPath, [script, what, model]);
      say(dim(`${what}: ${JSON.stringify(value)}`));
      return value;
    };
    /** @type {(label: string, time: number, arithmetic: number) => string} */
    const row = (label, time, arithmetic) =>
      `| ${label} | ${time.toFixed(3)} | ${arithmetic.toFixed(3)} | ${(time / arithmetic).toFixed(2)} |`;
    const { evaluation = 0, products = 0 } = await measure('sublayers', small);
    /** @type {string[]} */
    const rows = [row('sublayer, of 128 tokens', evaluation, products)];
    for (const [model, { vocabulary }] of /** @type {const} */ ([
      [small, smolLM2],
      [large, largeVocabulary],
    ])) {
      const { product = 0, js = 0, kl = 0 } = await measure('readout', model);
      rows.push(row(`head and js, a token, vocabulary ${vocabulary}`, js, product));
      rows.push(row(`head and kl, a token, vocabulary ${vocabulary}`, kl, product));
    }
    /** @type {string[]} */
    const peaks = [];
    let isWithin = true;
    for (const setting of settings) {
      const peak = await profilePeak(small, folder, setting);
      isWithin &&= peak === undefined || peak <= setting * 2 ** 20 + slack;
      const text = peak === undefined ? 'unknown' : `${Math.round(peak / 1e6)} MB`;
      peaks.push(`| ${Math.round((setting * 2 ** 20) / 1e6)} MB | ${text} |`);
      say(dim(`profile in ${setting} MiB: ${text}`));
    }
    const { blocks } = smolLM2;
    const text = [
      '# The executor against its arithmetic',
      '',
      await machine.describe(),
      'Command: `npm run build && node bench/executor/run.mjs`.',
      '',
      'Float32, random weights, one thread per core. Milliseconds are medians of 9 that take turns. A sublayer is the mean of',
      `all of SmolLM2's shape (${blocks} blocks), four states at once; its arithmetic is its linear layers as plain products of 256`,
      "rows. Of a candidate's token, head and metric are held against the head's product alone.",
      '',
      '| | milliseconds | of the products alone | ratio |',
      '|---|--:|--:|--:|',
      ...rows,
      '',
      "Private (anonymous) memory of one round's profile of SmolLM2's shape on 2 × 128 tokens at its peak, Node and tokenizer included:",
      '',
      '| `--memory` | peak |',
      '|--:|--:|',
      ...peaks,
    ].join('\n');
    await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);
    if (!isWithin) say(red('A profile took more than its setting and 200 MB.'));
    return isWithin ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Largest anonymous memory of a profile, in bytes, where the system tells it.
 * @param {string} model
 * @param {string} folder
 * @param {number} setting MiB
 */
async function profilePeak(model, folder, setting) {
  const text = join(root, 'samples', 'calibration.txt');
  const child = spawn(
    process.execPath,
    [
      ...[cli, 'profile', model, '--device', 'cpu', '--memory', `${setting}MiB`, '--calibration', text],
      ...['--sequences', '2', '--length', '128', '--remove', '1', '--search', 'exact'],
      ...['--no-baselines', '--out', join(folder, `${setting}.layerprofile.json`)],
    ],
    { stdio: 'ignore' },
  ); // prettier-ignore
  /** @type {number | undefined} */
  let peak;
  const timer = setInterval(() => {
    void anonymousBytes(child.pid ?? 0).then((bytes) => {
      if (bytes !== undefined) peak = Math.max(peak ?? 0, bytes);
    });
  }, interval);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`the profile in ${setting} MiB ended with ${String(code)}`);
  return peak;
}

/** @param {number} pid */
async function anonymousBytes(pid) {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  const [, kilobytes] = /^Anonymous:\s+(\d+)/m.exec(text) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
