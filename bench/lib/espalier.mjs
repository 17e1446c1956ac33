import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { root } from '../../scripts/lib/repository.mjs';
import { red, say } from '../../scripts/lib/terminal.mjs';
import { json } from './json.mjs';

/** The command line, once it is built. */
export const cli = join(root, 'dist', 'cli.js');

/** Says so where it is not. */
export function isBuilt() {
  const built = existsSync(cli);
  if (!built) say(red('dist/cli.js is not built. Run npm run build first.'));
  return built;
}

/**
 * Runs a command and gives what it prints.
 * @param {readonly (string | number)[]} args
 */
export async function espalier(args) {
  return (await json(process.execPath, [cli, ...args, '--json'])).value;
}

/**
 * Statistics of the default search for a quarter of a model's sublayers, on the bundled calibration
 * text.
 * @param {string} model
 * @param {{device: string, sequences: number, length: number, out: string}} options
 */
export async function searchQuarter(model, { device, sequences, length, out }) {
  const { search } = await espalier([
    ...['profile', model, '--device', device, '--ratio', '0.25', '--no-baselines'],
    ...['--calibration', join(root, 'samples', 'calibration.txt')],
    ...['--sequences', sequences, '--length', length, '--out', out],
  ]);
  return search;
}
