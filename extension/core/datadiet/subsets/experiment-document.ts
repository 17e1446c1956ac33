import { UserError } from '../../user-error';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { isDocument } from '../../document-names';
import { described, parseDocument } from '../../jobs/parse-document';
import { readText } from '../scores/score-document';
import { policies } from './selection';
import { say, verbatim } from '../../message';
import type { Message } from '../../message';

export const experimentSchema = v.object({
  format: described(v.literal('espalier.datadiet'), 'Marks the file as an experiment'),
  dataset: described(
    v.object({ name: v.string(), fingerprint: v.string(), examples: v.number() }),
    'Dataset with its fingerprint',
  ),
  request: described(
    v.object({ iso: v.picklist(['steps', 'epochs']), seeds: v.number() }),
    'Settings of the experiment',
  ),
  rows: described(
    v.array(
      v.object({
        choice: v.string(),
        policy: v.exactOptional(v.picklist(policies)),
        offset: v.exactOptional(v.number()),
        keep: v.number(),
        examples: v.number(),
        mean: v.number(),
        deviation: v.exactOptional(v.number()),
      }),
    ),
    'Accuracy of the trainings on each subset',
  ),
});

/** Accuracy of models trained on subsets, as measured by `espalier data-diet`. */
export type Experiment = Omit<v.InferOutput<typeof experimentSchema>, 'format'> & {
  /** File name. */
  readonly file: string;
};

/** @throws UserError naming the file and the field. */
export function parseExperiment(
  text: string,
  file: string,
): v.InferOutput<typeof experimentSchema> {
  return parseDocument(experimentSchema, text, file, say`an experiment of espalier data-diet`);
}

/** Experiments in the folder of a score file for the same dataset. Other files are ignored. */
export async function findExperiments(
  scores: string,
  fingerprint: string,
): Promise<{ experiments: Experiment[]; warnings: Message[] }> {
  const folder = dirname(scores);
  const files = (await readdir(folder)).filter((name) => isDocument('experiment', name)).sort();
  const experiments: Experiment[] = [];
  const warnings: Message[] = [];
  for (const name of files) {
    const path = join(folder, name);
    try {
      const { dataset, request, rows } = parseExperiment(await readText(path), path);
      if (dataset.fingerprint === fingerprint) {
        experiments.push({ file: basename(path), dataset, request, rows });
      }
    } catch (error) {
      warnings.push(error instanceof UserError ? error.whole : verbatim((error as Error).message));
    }
  }
  return { experiments, warnings };
}
