/**
 * The executor against the arithmetic it does: a sublayer evaluation against its matrix products, head and metric
 * against the head's product, and the memory of a profile against its setting. Models have random weights. Prints
 * Markdown and, from a quiet machine, writes it to RESULTS.md. Needs 17 GB in the temporary folder.
 *
 *     node bench/executor/run.mjs [--quick | --memory]
 *
 * --quick: small models, to try the bench itself; nothing is written. --memory: only the memory of profiles, which a
 * busy machine tells as well.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, red, say } from '../../scripts/lib/terminal.mjs';
import { cli, isBuilt } from '../lib/espalier.mjs';
import { json } from '../lib/json.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeModel } from '../lib/random-llama.mjs';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean' }, memory: { type: 'boolean' } },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const smolLM2 = {
  ...{ hidden: 576, inner: 1536, heads: 9, keyValueHeads: 3, headDim: 64 },
  ...{ blocks: options.quick ? 2 : 30, vocabulary: options.quick ? 4096 : 49152 },
};
const largeVocabulary = {
  ...{ hidden: 640, inner: 2048, heads: 4, keyValueHeads: 1, headDim: 256 },
  ...{ blocks: 1, vocabulary: options.quick ? 8192 : 262144 },
};
/** Settings of memory in MiB for SmolLM2's shape, and how much more a profile may take, in bytes. */
const settings = options.quick ? [128] : [200, 300, 400, 1024];
/** Larger shapes, the memory that they are to work in (MiB), and how long their sequences are. */
const largeShapes = options.quick
  ? []
  : [
      {
        name: '1.1B shape (4.1 GB)',
        ...{ setting: 953, length: 128 },
        shape: {
          ...{ hidden: 2048, inner: 5632, heads: 32, keyValueHeads: 4, headDim: 64 },
          ...{ blocks: 22, vocabulary: 32000 },
        },
      },
      {
        name: '4B shape (16 GB)',
        ...{ setting: 3814, length: 16 },
        shape: {
          ...{ hidden: 4096, inner: 11008, heads: 32, keyValueHeads: 32, headDim: 128 },
          ...{ blocks: 19, vocabulary: 32000 },
        },
      },
    ];
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
    const memory = await measurePeaks(small, folder);
    if (options.memory) {
      say([...memory.rows].join('\n'));
      return memory.isWithin ? 0 : 1;
    }
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
      "Private (anonymous) memory of one round's profile (of SmolLM2's shape on 2 × 128 tokens, of the others on 1 × 128 and 1 × 16)",
      'at its peak, Node and tokenizer included:',
      '',
      '| model | `--memory` | peak |',
      '|---|--:|--:|',
      ...memory.rows,
    ].join('\n');
    await machine.publish(join(here, 'RESULTS.md'), text, !options.quick);
    if (!memory.isWithin) say(red('A profile took more than its setting and 200 MB.'));
    return memory.isWithin ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Peaks of the memory of profiles as rows of a table, and whether all kept to their settings.
 * @param {string} small folder of SmolLM2's shape
 * @param {string} folder
 */
async function measurePeaks(small, folder) {
  /** @type {string[]} */
  const rows = [];
  let isWithin = true;
  /** @type {(name: string, model: string, setting: number, tokens: [number, number]) => Promise<void>} */
  const add = async (name, model, setting, tokens) => {
    const peak = await profilePeak(model, folder, setting, tokens);
    isWithin &&= peak === undefined || peak <= setting * 2 ** 20 + slack;
    const text = peak === undefined ? 'unknown' : `${Math.round(peak / 1e6)} MB`;
    rows.push(`| ${name} | ${Math.round((setting * 2 ** 20) / 1e6)} MB | ${text} |`);
    say(dim(`profile of ${name} in ${setting} MiB: ${text}`));
  };
  for (const setting of settings) await add("SmolLM2's shape", small, setting, [2, 128]);
  for (const { name, shape, setting, length } of largeShapes) {
    const model = join(folder, 'one');
    await writeModel(model, shape);
    await add(name, model, setting, [1, length]);
    await rm(model, { recursive: true });
  }
  return { rows, isWithin };
}

/**
 * Peak anonymous memory of a profile, in bytes, if the system reports it.
 * @param {string} model
 * @param {string} folder
 * @param {number} setting MiB
 * @param {[sequences: number, length: number]} tokens
 */
async function profilePeak(model, folder, setting, [sequences, length]) {
  const text = join(root, 'samples', 'calibration.txt');
  const child = spawn(
    process.execPath,
    [
      ...[cli, 'profile', model, '--device', 'cpu', '--memory', `${setting}MiB`, '--calibration', text],
      ...['--sequences', sequences, '--length', length, '--remove', '1', '--search', 'exact'].map(String),
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
