import { resolve } from 'node:path';
import { exportPart } from '../../../core/data/datasets/export-part';
import { openDataset } from '../../../core/data/datasets/open-dataset';
import { readSelection, readSelectionOptions } from '../../../core/datadiet/selection-document';
import { UserError } from '../../../core/user-error';
import type { Command } from '../command';
import { dataUsage, readDatasetOptions, required, trainingOptionTypes } from '../training-options';

export const exportData: Command = {
  name: 'export-data',
  usage: `--data DIR ${dataUsage} --selection FILE --out DIR [--json]`,
  summary: 'Write the chosen examples in the form of their data set.',
  options: {
    ...trainingOptionTypes,
    selection: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job }) => {
    const data = resolve(required(args, 'data'));
    const out = resolve(required(args, 'out'));
    const file = resolve(required(args, 'selection'));
    const options = { ...(await readSelectionOptions(file)), ...readDatasetOptions(args) };
    const dataset = await openDataset(data, options);
    const { indices, fingerprint } = await readSelection(file, dataset.size);
    if (fingerprint !== undefined && fingerprint !== dataset.fingerprint) {
      throw new UserError('The selection was made for another data set, or this one has changed.', {
        file,
        field: 'dataset.fingerprint',
        remedy: 'Name the data set that was scored, or score this one.',
      });
    }
    const files = await exportPart(dataset, indices.sort(), out, job);
    const result = { examples: indices.length, files };
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      terminal.print(`${indices.length} of ${dataset.size} examples: ${out}`);
    }
  },
};
