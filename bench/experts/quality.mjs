/**
 * Quality of a trained MoE model with fewer experts: the same share of each MoE layer, one budget for all of them, and
 * repaired routers. MODEL is made by train_model.py; TEXT is its training text, with documents divided by form feeds.
 * KL divergence to MODEL is measured on samples/held-out.txt, which neither was trained on. Run `npm run build` first.
 *
 *     node bench/experts/quality.mjs MODEL TEXT [--ratios 0.25,0.5] [--effort thorough] [--rate 0.03] [--scope model]
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { espalier } from '../lib/espalier.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ratios: { type: 'string', default: '0.25,0.5' },
    effort: { type: 'string', default: 'thorough' },
    rate: { type: 'string', default: '0.03' },
    scope: { type: 'string', default: 'model' },
  },
});
const [model = '', text = ''] = positionals;
const samples = fileURLToPath(new URL('../../samples/', import.meta.url));
const heldOut = ['--text', join(samples, 'held-out.txt'), '--whole-text', '--device', 'cpu'];
/** Characters of a piece of the text, and number of pieces that routers learn from. */
const [pieceLength, pieces] = [2000, 700];

const folder = await mkdtemp(join(tmpdir(), 'espalier-experts-'));
try {
  const mix = join(folder, 'mix.txt');
  await writeFile(mix, await mixedText());
  for (const ratio of values.ratios.split(',')) {
    for (const allocation of ['equal', 'saliency']) {
      const name = `${ratio}-${allocation}`;
      const plan = join(folder, `${name}.plan.json`);
      const out = join(folder, name);
      await espalier([
        ...['score-experts', model, '--ratio', ratio, '--allocation', allocation, '--out', plan],
        ...['--calibration', join(samples, 'calibration.txt'), '--sequences', '128'],
        ...['--device', 'cpu'],
      ]);
      await espalier(['apply', plan, '--out', out, '--no-quality', '--device', 'cpu']);
      await printDistance(`${name}: ${await expertCounts(plan)} removed`, out);
      const repaired = `${out}-repaired`;
      await espalier([
        ...['repair', out, '--teacher', model, '--train', 'routers', '--out', repaired],
        ...['--calibration', mix, '--effort', values.effort, '--rate', values.rate],
        ...['--scope', values.scope, '--device', 'cpu'],
      ]);
      await printDistance(`${name}, repaired`, repaired);
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

/** Pieces from all over the text, in a seeded order. */
async function mixedText() {
  const documents = (await readFile(text, 'utf8')).split('\f');
  const all = documents.flatMap(
    (document) => document.match(new RegExp(`[^]{1,${pieceLength}}`, 'g')) ?? [],
  );
  let state = 1;
  for (let i = all.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [all[i], all[j]] = [all[j] ?? '', all[i] ?? ''];
  }
  return all.slice(0, pieces).join('\n');
}

/**
 * Number of experts that a plan removes from each block.
 * @param {string} plan
 */
async function expertCounts(plan) {
  const { remove } = JSON.parse(await readFile(plan, 'utf8'));
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const id of remove) {
    const [, block = ''] = id.split('.');
    counts.set(block, (counts.get(block) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([block, count]) => `block ${block}: ${count}`)
    .join(', ');
}

/**
 * @param {string} label
 * @param {string} changed
 */
async function printDistance(label, changed) {
  const { klDivergence } = await espalier(['evaluate', changed, '--against', model, ...heldOut]);
  const { value, low, high } = klDivergence;
  const [kl, from, to] = [value, low, high].map((x) => x.toFixed(4));
  process.stdout.write(`${label}: KL ${kl} (${from} to ${to})\n`);
}
