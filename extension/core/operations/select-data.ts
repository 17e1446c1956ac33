import { resolve } from 'node:path';
import * as v from 'valibot';
import { openScored } from '../datadiet/open-scored';
import type { ScoreDocument } from '../datadiet/score-document';
import { scoresOf } from '../datadiet/score-document';
import { readScores } from '../datadiet/score-files';
import { policies, selectExamples } from '../datadiet/selection';
import { selectionDocument, writeSelection } from '../datadiet/selection-document';
import type { SelectionDocument } from '../datadiet/selection-document';
import { datasetFields, datasetOptions, optionalDataField } from './data-fields';
import { choice, flag, integer, number, path } from './fields';
import type { RequestOf } from './fields';
import { defineOperation } from './operation';
import { actsOnlyWith, allNeed } from './rules';

export const scoresField = path({
  description: 'Scores of score-data or of another tool (.json, .npy, .csv, .jsonl)',
  required: true,
});

/** For operations that choose examples. */
export const unbalancedField = flag({
  description: 'Choose among all examples together instead of the same share of every class',
  default: false,
});

/** What was chosen; the indices are in the file. */
export type SelectedData = Omit<SelectionDocument, 'indices'> & { readonly out: string };

const fields = {
  scores: scoresField,
  out: path({ description: 'Where to write the selection (.json, .npy)', required: true }),
  keep: number({
    description: 'Fraction of the examples to keep',
    required: true,
    placeholder: 'R',
    above: 0,
    max: 1,
  }),
  policy: choice(policies, {
    description: 'Keep the highest scores, the highest after --offset, or any',
    default: 'max',
    placeholder: 'POLICY',
  }),
  offset: number({
    description: 'Fraction of the examples with the highest scores to drop',
    placeholder: 'R',
    min: 0,
    max: 1,
  }),
  unbalanced: unbalancedField,
  seed: integer({
    description: 'Seed of random choices and of the order of equal scores',
    default: 0,
    min: 0,
  }),
  data: {
    ...optionalDataField,
    description: 'The scored data set, where the scores do not have its classes',
  },
  ...datasetFields,
};

export const selectData = defineOperation({
  id: 'select-data',
  title: 'Select Examples',
  verb: 'Selecting from',
  summary: 'Choose the examples to keep by their scores.',
  fields,
  rules: [
    actsOnlyWith('offset', 'policy', ['window']),
    allNeed(Object.keys(datasetFields), 'data'),
  ],
  result: v.looseObject({ examples: v.number(), kept: v.number(), out: v.string() }),
  trust: 'write',
  run: async (request): Promise<SelectedData> => {
    const { keep, policy, offset, unbalanced, seed } = request;
    const out = resolve(request.out);
    const { scored, labels } = await readLabelled(request);
    const selection = {
      ...{ keep, policy, balanced: !unbalanced, seed },
      ...(offset === undefined ? {} : { offset }),
    };
    const known = labels.length === 0 ? undefined : labels;
    const chosen = selectExamples(scoresOf(scored), known, selection);
    const { indices, ...summary } = selectionDocument(scored, labels, selection, chosen);
    await writeSelection(out, { ...summary, indices });
    return { ...summary, out };
  },
});

/** The scores with the labels of their examples: those of the data set where it is named. */
async function readLabelled(
  request: RequestOf<typeof fields>,
): Promise<{ scored: ScoreDocument; labels: Int32Array }> {
  const scored = await readScores(resolve(request.scores));
  if (request.data === undefined) {
    return { scored, labels: Int32Array.from(scored.labels) };
  }
  const path = resolve(request.data);
  const { dataset, options } = await openScored(scored, path, datasetOptions(request));
  const { name, fingerprint, labels, classNames } = dataset;
  const opened = { path, name, fingerprint, options };
  return { scored: { ...scored, classNames: [...classNames], dataset: opened }, labels };
}
