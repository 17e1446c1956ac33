/**
 * Does calibration text that is chosen by its EL2N scores prune better than text chosen at random? The calibration
 * text is cut in five parts; in each, every policy chooses as many windows, the same search runs, and the pruned
 * model's perplexity on the held-out text is taken. Writes RESULTS.md.
 *
 *     npm run build && node bench/calibration-scores/run.mjs [MODEL]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { root } from '../../scripts/lib/repository.mjs';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { espalier, isBuilt } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const heldOut = join(root, 'samples', 'held-out.txt');
const device = ['--device', 'cpu'];
const policies = ['random', 'max', 'window', 'min'];
const parts = 5;
const length = 128;
const sequences = 10;
/** Rounds after which the pruned model is judged, of its 24 sublayers. */
const cuts = [3, 6, 9];

process.exitCode = await main(process.argv[2] ?? join(root, 'samples', 'espalier-sample'));

/** @param {string} model */
async function main(model) {
  if (!isBuilt()) return 1;
  return inTemporaryFolder(async (folder) => {
    /** @param {(string | number)[]} args */
    const onDevice = async (args) => espalier([...args, ...device]);
    const text = await readFile(join(root, 'samples', 'calibration.txt'), 'utf8');
    /** Perplexities by policy, then cut, then part. @type {Map<string, number[][]>} */
    const found = new Map(policies.map((policy) => [policy, cuts.map(() => [])]));
    /** @type {number[]} */
    const windows = [];
    let dense = Number.NaN;
    for (let part = 0; part < parts; part++) {
      const file = join(folder, `part-${part}.txt`);
      const [from, to] = [part, part + 1].map((i) => wordBoundary(text, (i * text.length) / parts));
      await writeFile(file, text.slice(from, to));
      const scores = join(folder, `part-${part}.textscores.json`);
      const scored = await onDevice([
        ...['score-text', model, '--text', file, '--length', length, '--out', scores],
      ]);
      windows.push(scored.scores.length);
      for (const policy of policies) {
        const profile = await onDevice([
          ...['profile', model, '--calibration-scores', scores, '--calibration-policy', policy],
          ...['--sequences', sequences, '--seed', part, '--remove', Math.max(...cuts)],
          '--no-baselines',
        ]);
        for (const [i, cut] of cuts.entries()) {
          const plan = join(folder, 'cut.plan.json');
          const source = { path: model, fingerprint: profile.model.fingerprint };
          const remove = profile.rounds
            .slice(0, cut)
            .map((/** @type {{removed: string}} */ { removed }) => removed);
          await writeFile(
            plan,
            JSON.stringify({ format: 'espalier.plan', version: 1, model: source, remove }),
          );
          const pruned = join(folder, `${part}-${policy}-${cut}`);
          await onDevice(['prune', model, '--plan', plan, '--out', pruned]);
          const { perplexity, against } = await onDevice([
            ...['evaluate', model, '--against', pruned, '--text', heldOut, '--whole-text'],
          ]);
          dense = perplexity;
          found.get(policy)?.[i]?.push(against.perplexity);
          say(dim(`part ${part}, ${policy}, ${cut} removed: ${against.perplexity.toFixed(2)}`));
        }
      }
    }
    const lines = report(basename(model), dense, windows, found);
    await writeFile(join(here, 'RESULTS.md'), lines.join('\n'));
    say(`\n${lines.join('\n')}`);
    return 0;
  });
}

/**
 * @param {string} model
 * @param {number} dense
 * @param {number[]} windows
 * @param {Map<string, number[][]>} found
 */
function report(model, dense, windows, found) {
  /** @param {number[]} values */
  const spread = (values) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return `${mean.toFixed(2)} ± ${Math.sqrt(variance / (values.length - 1)).toFixed(2)}`;
  };
  const random = found.get('random') ?? [];
  return [
    '# Calibration text chosen by EL2N against random choice',
    '',
    `Model ${model}; held-out perplexity of the dense model ${dense.toFixed(2)}. Five parts of the calibration text (${windows.join(', ')} windows of ${length} tokens), of each ${sequences} windows chosen; exact search, Jensen–Shannon. Mean ± standard deviation over the parts of the pruned model's perplexity on the held-out text; in brackets in how many of the parts it was lower than with random choice.`,
    'Command: `npm run build && node bench/calibration-scores/run.mjs`.',
    '',
    `| windows chosen | ${cuts.map((cut) => `${cut} sublayers removed`).join(' | ')} |`,
    `|---|${cuts.map(() => '--:').join('|')}|`,
    ...[...found].map(([policy, byCut]) => {
      const cells = byCut.map((values, i) => {
        const lower = values.filter((value, part) => value < (random[i]?.[part] ?? 0)).length;
        return policy === 'random' ? spread(values) : `${spread(values)} (${lower} of ${parts})`;
      });
      return `| ${policy} | ${cells.join(' | ')} |`;
    }),
    '',
  ];
}

/**
 * @param {string} text
 * @param {number} near
 */
function wordBoundary(text, near) {
  const at = text.indexOf(' ', near);
  return at < 0 ? text.length : at;
}
