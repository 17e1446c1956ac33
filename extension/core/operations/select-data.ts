import { resolve } from 'node:path';
import * as v from 'valibot';
import { readScores } from '../datadiet/scores/score-files';
import { writeSelection } from '../datadiet/subsets/selection-document';
import type { SelectionDocument } from '../datadiet/subsets/selection-document';
import { documentNames } from '../document-names';
import { say } from '../message';
import { UserError } from '../user-error';
import { datasetFields, optionalDataField } from './data-fields';
import { document, newFile, number } from './fields';
import { defineOperation } from './operation';
import { allNeed } from './rules';
import {
  chooseByScores,
  keepFacts,
  openLabelled,
  selectionFields,
  selectionRules,
} from './selection-fields';
import { exportedOutcome } from './outcomes';

export const scoresField = document('scores', {
  description: 'Scores of score-data or of another tool (.json, .npy, .csv, .jsonl)',
  required: true,
});

/** Summary of the selection; the indices are in the file. */
export type SelectedData = Omit<SelectionDocument, 'indices'> & { readonly out: string };

export const selectData = defineOperation({
  id: 'select-data',
  title: 'Select Examples',
  verb: 'Selecting from',
  summary: 'Choose the examples to keep by their scores.',
  group: 'data',
  fields: {
    scores: scoresField,
    out: newFile('selection', {
      description: 'File for the selection (*.selection.json, .npy)',
      required: true,
    }),
    keep: number({ ...keepFacts, required: true }),
    ...selectionFields,
    data: {
      ...optionalDataField,
      description: 'Scored dataset, needed if the scores lack its classes',
    },
    ...datasetFields,
  },
  rules: [...selectionRules, allNeed(Object.keys(datasetFields), 'data')],
  result: v.looseObject({ examples: v.number(), kept: v.number(), out: v.string() }),
  trust: 'write',
  run: async (request): Promise<SelectedData> => {
    const out = resolve(request.out);
    const { data } = request;
    const document = await readScores(resolve(request.scores));
    const { scored } =
      data === undefined
        ? { scored: document }
        : await openLabelled(document, { ...request, data });
    const { indices, ...summary } = chooseByScores(scored, request);
    if (summary.relabeled.length > 0 && out.endsWith('.npy')) {
      throw new UserError('labels-not-in-npy', say`A .npy file can't hold new labels.`, {
        field: 'out',
        remedy: say`Write a file that ends in ${documentNames.selection.suffix}.`,
      });
    }
    await writeSelection(out, { ...summary, indices });
    return { ...summary, out };
  },
  presentation: {
    panel: 'dataMap',
    document: 'scores',
    opens: 'folder',
    outcome: ({ kept }, { request: { out } }) => exportedOutcome(kept, out),
  },
});
