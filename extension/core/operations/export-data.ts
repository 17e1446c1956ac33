import { resolve } from 'node:path';
import * as v from 'valibot';
import type { Dataset } from '../data/datasets/dataset';
import { exportPart } from '../data/datasets/export-part';
import type { Relabeled } from '../data/datasets/write-part';
import { openDataset } from '../data/datasets/open-dataset';
import { readScores } from '../datadiet/scores/score-files';
import {
  readSelection,
  readSelectionOptions,
  writeSelection,
} from '../datadiet/subsets/selection-document';
import type { NewLabel, SelectionDocument } from '../datadiet/subsets/selection-document';
import { documentNames } from '../document-names';
import { UserError } from '../user-error';
import { dataField, datasetFields, datasetOptions } from './data-fields';
import { document, group, number, path } from './fields';
import type { RequestOf } from './fields';
import { defineOperation } from './operation';
import { allNeed, needs, oneOf } from './rules';
import {
  chooseByScores,
  keepFacts,
  openLabelled,
  selectionFields,
  selectionRules,
} from './selection-fields';
import { say } from '../message';
import { exportedOutcome } from './outcomes';

/** Result of writing a dataset. */
export interface ExportedData {
  readonly examples: number;
  /** Number of examples in the dataset. */
  readonly of: number;
  /** Number of examples whose class differs from the dataset's. */
  readonly relabeled: number;
  readonly files: readonly string[];
}

const choiceFields = group('Choice by scores', {
  scores: document('scores', {
    description: 'Scores to choose by; the selection is written next to the folder',
  }),
  keep: number(keepFacts),
  ...selectionFields,
});

const fields = {
  data: dataField,
  selection: document('selection', { description: 'Selection of select-data (.json, .npy)' }),
  out: path({ description: 'New folder to write', placeholder: 'DIR', required: true }),
  ...choiceFields,
  ...datasetFields,
};

export const exportData = defineOperation({
  id: 'export-data',
  title: 'Export Examples',
  verb: 'Exporting from',
  summary: 'Write the selected examples in the format of their dataset.',
  group: 'data',
  fields,
  rules: [
    ...oneOf('selection', 'scores'),
    allNeed(['keep', ...Object.keys(selectionFields)], 'scores'),
    needs('scores', 'keep'),
    ...selectionRules,
  ],
  result: v.looseObject({
    examples: v.number(),
    of: v.number(),
    relabeled: v.number(),
    files: v.array(v.string()),
  }),
  trust: 'write',
  writesNextTo: ['selection'],
  run: async (request, context): Promise<ExportedData> => {
    const out = resolve(request.out);
    const { dataset, indices, relabeled, chosen } = await choose(request);
    const labels = classIndices(relabeled, dataset, request);
    const files = await exportPart(dataset, indices, out, context, labels);
    const changed = indices.filter((index) => labels.has(index));
    const written = { examples: indices.length, of: dataset.size, relabeled: changed.length };
    if (chosen === undefined) {
      return { ...written, files };
    }
    const beside = `${out}${documentNames.selection.suffix}`;
    await writeSelection(beside, chosen);
    return { ...written, files: [...files, beside] };
  },
  presentation: {
    panel: 'dataMap',
    document: 'scores',
    opens: 'folder',
    outcome: ({ examples }, { request: { out } }) => exportedOutcome(examples, out),
  },
});

interface Chosen {
  readonly dataset: Dataset;
  /** Ascending. */
  readonly indices: Int32Array;
  readonly relabeled: readonly NewLabel[];
  /** Selection by scores that isn't a saved document. */
  readonly chosen?: SelectionDocument;
}

async function choose(request: RequestOf<typeof fields>): Promise<Chosen> {
  const { selection = '', scores, keep } = request;
  if (scores === undefined || keep === undefined) {
    return readChosen(resolve(selection), request);
  }
  const { scored, dataset } = await openLabelled(await readScores(resolve(scores)), request);
  const chosen = chooseByScores(scored, { ...request, keep });
  const { indices, relabeled } = chosen;
  return { dataset, indices: Int32Array.from(indices), relabeled, chosen };
}

async function readChosen(selection: string, request: RequestOf<typeof fields>): Promise<Chosen> {
  // The dataset is opened as it was when scored, unless the request says otherwise.
  const options = { ...(await readSelectionOptions(selection)), ...datasetOptions(request) };
  const dataset = await openDataset(resolve(request.data), options);
  const { indices, relabeled, fingerprint } = await readSelection(selection, dataset.size);
  if (fingerprint !== undefined && fingerprint !== dataset.fingerprint) {
    throw new UserError(
      'selection-other-dataset',
      say`The selection was made for another dataset, or this one has changed.`,
      {
        file: selection,
        field: 'dataset.fingerprint',
        remedy: say`Choose the dataset that was scored, or score this one.`,
      },
    );
  }
  return { dataset, indices: indices.sort(), relabeled };
}

/** Indices of the new classes in the written dataset. */
function classIndices(
  relabeled: readonly NewLabel[],
  { classNames }: Dataset,
  { selection }: RequestOf<typeof fields>,
): Relabeled {
  return new Map(
    relabeled.map(({ index, label }) => {
      const number = classNames.indexOf(label);
      if (number < 0) {
        throw new UserError('class-unknown', say`There is no class ${label}.`, {
          ...(selection === undefined ? {} : { file: selection }),
          field: 'relabeled',
          remedy: say`The classes are ${classNames.slice(0, 20).join(', ')}.`,
        });
      }
      return [index, number];
    }),
  );
}
