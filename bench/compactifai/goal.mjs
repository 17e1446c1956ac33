/**
 * The goal of repair: SmolLM2-135M-Instruct without a quarter of its sublayers wins back at least half of its lost
 * log-perplexity on two held-out texts, with the default effort, in under an hour on two cores.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { say } from '../../scripts/lib/terminal.mjs';

const wantedShare = 0.5;
const mostSeconds = 3600;

/**
 * Prunes and repairs from scratch, so that the time is that of a whole repair.
 * @param {object} given
 * @param {string} given.model
 * @param {string} given.folder
 * @param {import('./texts.mjs').Texts} given.texts
 * @param {(args: readonly (string | number)[]) => Promise<any>} given.espalier
 * @returns {Promise<boolean>} true if the goal is reached
 */
export async function repairGoal({ model, folder, texts, espalier }) {
  await mkdir(folder, { recursive: true });
  const plan = join(folder, 'quarter.plan.json');
  const pruned = join(folder, 'pruned');
  const repaired = join(folder, 'repaired');
  await rm(repaired, { recursive: true, force: true });
  await espalier(['plan', model, '--ratio', '0.25', '--out', plan]);
  await espalier(['apply', plan, '--out', pruned, '--overwrite']);
  const start = performance.now();
  const { learned } = await espalier([
    ...['repair', pruned, '--teacher', model, '--calibration', texts.learn],
    ...['--out', repaired],
  ]);
  const seconds = (performance.now() - start) / 1000;
  say(`${learned.tokens * learned.passes} tokens seen at most, ${Math.round(seconds)} s`);
  const shares = [];
  for (const [name, text] of Object.entries(texts.heldOut)) {
    /** @param {string} folder */
    const perplexity = async (folder) =>
      (await espalier(['evaluate', folder, '--text', text, '--whole-text'])).perplexity;
    const [original, before, after] = [
      await perplexity(model),
      await perplexity(pruned),
      await perplexity(repaired),
    ];
    const share = Math.log(before / after) / Math.log(before / original);
    shares.push(share);
    const numbers = [original, before, after].map((value) => value.toFixed(2)).join(' → ');
    say(`${name}: original, pruned, repaired ${numbers}: ${Math.round(100 * share)} % won back`);
  }
  return seconds < mostSeconds && shares.every((share) => share >= wantedShare);
}
