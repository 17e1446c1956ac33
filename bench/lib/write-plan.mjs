import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

/**
 * Writes the plan of a search. The command would refuse plans that can't be written: only whole
 * blocks can be removed from GGUF files.
 * @param {string} file
 * @param {string} model
 * @param {readonly {removed: string}[]} rounds
 */
export async function writePlan(file, model, rounds) {
  const remove = rounds.map(({ removed }) => removed);
  const plan = { format: 'espalier.plan', version: 1, model: { path: resolve(model) }, remove };
  await writeFile(file, JSON.stringify(plan));
}
