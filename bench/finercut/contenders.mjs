import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { root } from '../../scripts/lib/repository.mjs';
import { cli } from '../lib/espalier.mjs';
import { inTemporaryFolder } from '../lib/folders.mjs';
import { json } from '../lib/json.mjs';

/**
 * A model and its runs: our searches in full, the plain loop for a number of rounds, the rest being
 * counted.
 * @typedef {'adaptive' | 'exact' | 'naive' | 'lazy'} Search
 * @typedef {{
 *   name: string, model: string, sequences: number, length: number, remove: number, repeats: number,
 *   loopRounds: number, searches: readonly Search[]
 * }} Task
 *
 * One search: what was removed in each round, with the distances of that round as far as known.
 * @typedef {{removed: string, distance: number, distances: ReadonlyMap<string, number>}} Round
 * @typedef {{
 *   rounds: readonly Round[], seconds: number, evaluations: number, cpuSeconds: number | undefined,
 *   naiveEvaluations?: number
 * }} Result
 * @typedef {{name: string, run: () => Promise<Result>}} Contender
 */

const text = join(root, 'samples', 'calibration.txt');
const reference = join(root, 'test', 'fixtures', 'finercut_reference.py');
const tokenScript = fileURLToPath(new URL('calibration_tokens.py', import.meta.url));

/**
 * Our own search through the command line; the time is the search's, the sessions made in it included.
 * @param {Search} mode
 * @param {Task} task
 * @param {(fingerprint: string) => void} check called with the fingerprint of the calibration tokens
 * @returns {Contender}
 */
export function espalier(mode, task, check) {
  return {
    name: `Espalier, ${mode}`,
    run: async () =>
      inTemporaryFolder(async (folder) => {
        const { value, cpuSeconds } = await json(process.execPath, [
          ...[cli, 'profile', task.model, '--json', '--no-baselines', '--device', 'cpu'],
          ...['--calibration', text, '--sequences', task.sequences, '--length', task.length],
          ...['--search', mode, '--remove', task.remove],
          ...['--out', join(folder, 'bench.layerprofile.json')],
        ]);
        const { calibration, search, rounds } = value;
        check(calibration.fingerprint);
        return {
          cpuSeconds,
          seconds: search.seconds,
          evaluations: search.sublayerEvaluations,
          naiveEvaluations: search.naiveSublayerEvaluations,
          rounds: rounds.map((/** @type {any} */ { removed, distance, candidates }) => ({
            removed,
            distance,
            distances: new Map(
              candidates.map((/** @type {any} */ one) => [one.sublayer, one.distance]),
            ),
          })),
        };
      }),
  };
}

/**
 * The plain loop over transformers; the time is the search's, loading the model not included.
 * @param {string} python
 * @param {number} threads
 * @param {string} tokens the file that {@link writeTokens} wrote
 * @param {Task} task
 * @returns {Contender}
 */
export function pytorch(python, threads, tokens, task) {
  return {
    name: 'PyTorch loop',
    run: async () => {
      const { value: found, cpuSeconds } = await json(python, [
        ...[reference, task.model, '--tokens', tokens, '--metric', 'js'],
        ...['--remove', task.loopRounds, '--dtype', 'float32', '--threads', threads],
      ]);
      return {
        cpuSeconds,
        seconds: found.seconds,
        evaluations: (found.sublayerForwards + found.denseSublayerForwards) * task.sequences,
        rounds: found.rounds.map((/** @type {any} */ { removed, distance, distances }) => ({
          removed,
          distance,
          distances: new Map(Object.entries(distances)),
        })),
      };
    },
  };
}

/**
 * Writes a task's token ids to `out` with the native tokenizer.
 * @param {string} python
 * @param {Task} task
 * @param {string} out
 * @returns {Promise<{fingerprint: string, versions: import('../lib/machine.mjs').Versions}>}
 */
export async function writeTokens(python, { model, sequences, length }, out) {
  return (await json(python, [tokenScript, model, text, sequences, length, out])).value;
}
