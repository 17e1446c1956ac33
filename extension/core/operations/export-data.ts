import { resolve } from 'node:path';
import * as v from 'valibot';
import { exportPart } from '../data/datasets/export-part';
import { openDataset } from '../data/datasets/open-dataset';
import { readSelection, readSelectionOptions } from '../datadiet/selection-document';
import { UserError } from '../user-error';
import { dataField, datasetFields, datasetOptions } from './data-fields';
import { path } from './fields';
import { defineOperation } from './operation';

/** What was written of a data set. */
export interface ExportedData {
  readonly examples: number;
  /** Examples of the data set. */
  readonly of: number;
  readonly files: readonly string[];
}

export const exportData = defineOperation({
  id: 'export-data',
  title: 'Export Examples',
  verb: 'Exporting from',
  summary: 'Write the selected examples in the format of their data set.',
  fields: {
    data: dataField,
    selection: path({ description: 'Selection of select-data (.json, .npy)', required: true }),
    out: path({ description: 'New folder to write', placeholder: 'DIR', required: true }),
    ...datasetFields,
  },
  rules: [],
  result: v.looseObject({ examples: v.number(), of: v.number(), files: v.array(v.string()) }),
  trust: 'write',
  run: async (request, context): Promise<ExportedData> => {
    const selection = resolve(request.selection);
    // The data set is opened as it was scored, unless the request says otherwise.
    const options = { ...(await readSelectionOptions(selection)), ...datasetOptions(request) };
    const dataset = await openDataset(resolve(request.data), options);
    const { indices, fingerprint } = await readSelection(selection, dataset.size);
    if (fingerprint !== undefined && fingerprint !== dataset.fingerprint) {
      throw new UserError('The selection was made for another data set, or this one has changed.', {
        file: selection,
        field: 'dataset.fingerprint',
        remedy: 'Choose the data set that was scored, or score this one.',
      });
    }
    const files = await exportPart(dataset, indices.sort(), resolve(request.out), context);
    return { examples: indices.length, of: dataset.size, files };
  },
});
