/**
 * Types chosen from a sensitivity profile against mixes of llama.cpp at equal bytes: the divergence from the original,
 * the share of positions with the same most likely token, and the perplexity, all on held-out text. Files of both are
 * rounded by the same importance matrix. Prints a Markdown table.
 *
 *     node bench/gguf/mixes.mjs [MODEL] [--mixes Q4_K_M,Q3_K_M] [--sequences 8] [--length 128] [--rounds 0]
 *         [--windows 8] [--keep FOLDER]
 *
 * --sequences, --length: the calibration text, for the profile and the importance matrix.
 * --rounds: times that a plan is made again by what the whole of it showed.
 * --windows: windows of 256 tokens of held-out text.
 * --keep: what was measured is kept there, and found there by the next run.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inFolder } from '../lib/folders.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mixes: { type: 'string', default: 'Q4_K_M,Q3_K_M' },
    sequences: { type: 'string', default: '8' },
    length: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '0' },
    windows: { type: 'string', default: '8' },
    keep: { type: 'string' },
  },
});
const model = positionals[0] ?? join(root, 'samples', 'espalier-sample');
const heldOut = join(root, 'samples', 'held-out.txt');
const windowLength = 256;

process.exitCode = await main();

async function main() {
  if (!isBuilt()) return 1;
  await inFolder(options.keep, compareIn);
  return 0;
}

/** @param {string} folder */
async function compareIn(folder) {
  const profile = join(folder, 'model.sensitivity.json');
  const importance = join(folder, 'model.imatrix.gguf');
  const text = ['--sequences', options.sequences, '--length', options.length];
  if (!existsSync(profile)) {
    const what = ['--methods', 'gguf', '--embeddings', '--head'];
    await espalier(['sensitivity', model, ...what, ...text, '--out', profile]);
  }
  if (!existsSync(importance)) {
    await espalier(['imatrix', model, ...text, '--out', importance]);
  }
  /** @type {{name: string, bytes: number, file: string}[]} */
  const files = [];
  for (const mix of options.mixes.split(',')) {
    const how = ['--format', 'gguf', '--imatrix', importance, '--no-quality', '--overwrite'];
    const own = join(folder, mix);
    const written = await espalier(['convert', model, '--type', mix, ...how, '--out', own]);
    files.push({ name: mix, bytes: written.bytesAfter, file: fileIn(own, written) });
    const plan = join(folder, `${mix}.plan.json`);
    const { types } = await espalier([
      ...['plan-compression', model, '--sensitivity', profile, '--embeddings', '--head'],
      ...['--limits', `bytes<${written.bytesAfter}`, '--rounds', options.rounds, '--out', plan],
    ]);
    say(dim(`${mix}: ${describe(types)}`));
    const chosen = join(folder, `${mix}-chosen`);
    const applied = await espalier(['apply', plan, ...how, '--out', chosen]);
    files.push({
      name: `chosen for ${mix}'s bytes`,
      bytes: applied.bytesAfter,
      file: fileIn(chosen, applied),
    });
  }
  const program = join(folder, 'core.cjs');
  await bundleCore(join(root, 'bench', 'gguf', 'core.ts'), program);
  const core = createRequire(import.meta.url)(program);
  const windows = Number(options.windows);
  const paths = [model, ...files.map(({ file }) => file)];
  const [original, ...found] = await core.judge(paths, heldOut, windows, windowLength);
  await rm(program);
  say(
    [
      `${windows} × ${windowLength} tokens of held-out text; perplexity of the original ${original.perplexity.toFixed(2)}`,
      '',
      '| types | bytes | KL to the original | same top | perplexity |',
      '|---|--:|--:|--:|--:|',
      ...files.map(({ name, bytes }, i) => {
        const { kl, sameTop, perplexity } = found[i];
        return `| ${name} | ${bytes} | ${kl.toPrecision(3)} | ${(100 * sameTop).toFixed(1)} % | ${perplexity.toFixed(2)} |`;
      }),
    ].join('\n'),
  );
}

/**
 * @param {string} folder
 * @param {{files: readonly {name: string}[]}} written
 */
function fileIn(folder, { files }) {
  return join(folder, files.find(({ name }) => name.endsWith('.gguf'))?.name ?? '');
}

/**
 * How many tensors get each type.
 * @param {Readonly<Record<string, string>>} types
 */
function describe(types) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const type of Object.values(types)) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].map(([type, count]) => `${count} × ${type}`).join(', ');
}
