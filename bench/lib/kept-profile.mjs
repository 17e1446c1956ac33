import { existsSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { dim, say } from '../../scripts/lib/terminal.mjs';
import { cli } from './espalier.mjs';
import { json } from './json.mjs';

/**
 * Profiles a model on the CPU, without baselines, unless the file is there from an earlier run.
 * @param {string} file
 * @param {string} name
 * @param {readonly string[]} args the model, and how
 * @param {string} [searched] a kept profile of the same search, which is only refined
 * @returns {Promise<any>} the profile, with the processor time that it took
 */
export async function savedProfile(file, name, args, searched) {
  const known = `${file}.cpu`;
  if (!existsSync(known)) {
    if (searched !== undefined) await copyFile(searched, file);
    // // By default, GGUF files from which only whole blocks can be removed are searched by blocks.
    const units = ['--granularity', 'sublayer'];
    const how = [...units, '--json', '--no-baselines', '--device', 'cpu', '--out', file];
    const { cpuSeconds } = await json(process.execPath, [cli, 'profile', ...args, ...how]);
    const before = searched === undefined ? '0' : await readFile(`${searched}.cpu`, 'utf8');
    await writeFile(known, String(Number(before) + (cpuSeconds ?? Number.NaN)));
    say(dim(`${name}: ${cpuSeconds?.toFixed(0)} CPU seconds`));
  }
  const profile = JSON.parse(await readFile(file, 'utf8'));
  return { ...profile, cpuSeconds: Number(await readFile(known, 'utf8')) };
}
