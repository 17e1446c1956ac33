import { resolve } from 'node:path';
import { openDataset } from '../../../core/data/datasets/open-dataset';
import { scoresOf } from '../../../core/datadiet/score-document';
import { readScores } from '../../../core/datadiet/score-files';
import { policies, selectExamples } from '../../../core/datadiet/selection';
import { selectionDocument, writeSelection } from '../../../core/datadiet/selection-document';
import { UserError } from '../../../core/user-error';
import { UsageError } from '../command';
import type { Command } from '../command';
import { printTable } from '../../table';
import {
  dataUsage,
  readDatasetOptions,
  required,
  trainingOptionTypes,
  wholeNumber,
} from '../training-options';

export const selectData: Command = {
  name: 'select-data',
  usage: `--scores FILE --keep 0.5 [--policy ${policies.join('|')}] [--offset 0.1] [--unbalanced] [--seed 0]
    [--data DIR ${dataUsage}] --out FILE [--json]`,
  summary: 'Choose the examples to keep by their scores.',
  options: {
    ...trainingOptionTypes,
    scores: { type: 'string' },
    keep: { type: 'string' },
    policy: { type: 'string' },
    offset: { type: 'string' },
    unbalanced: { type: 'boolean' },
    seed: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal }) => {
    const out = resolve(required(args, 'out'));
    const keep = args.number('keep');
    if (keep === undefined) {
      throw new UsageError('--keep is missing: the share of the examples to keep.');
    }
    const offset = args.number('offset');
    const policy = args.choice('policy', policies, offset === undefined ? 'max' : 'window');
    const request = {
      keep,
      policy,
      balanced: !args.flag('unbalanced'),
      seed: wholeNumber(args, 'seed', 0, 0),
      ...(offset === undefined ? {} : { offset }),
    };
    const file = resolve(required(args, 'scores'));
    const scored = await readScores(file);
    const data = args.text('data');
    // The data set is opened as it was scored, unless the command says otherwise.
    const options = { ...scored.dataset?.options, ...readDatasetOptions(args) };
    const dataset = data === undefined ? undefined : await openDataset(resolve(data), options);
    if (dataset !== undefined && dataset.size !== scored.examples) {
      throw new UserError(
        `It has ${dataset.size} examples, but there are ${scored.examples} scores.`,
        { file: data ?? '', remedy: 'Name the data set that was scored.' },
      );
    }
    const labels = dataset?.labels ?? Int32Array.from(scored.labels);
    const known = labels.length === 0 ? undefined : labels;
    const indices = selectExamples(scoresOf(scored), known, request);
    const document = selectionDocument(
      dataset === undefined ? scored : { ...scored, classNames: [...dataset.classNames] },
      labels,
      request,
      indices,
    );
    await writeSelection(out, document);
    if (args.flag('json')) {
      terminal.print(JSON.stringify({ ...document, indices: undefined, out }, undefined, 2));
      return;
    }
    printTable(
      terminal,
      ['class', 'examples', 'kept'],
      document.classes.map(({ name, examples, kept }) => [name, String(examples), String(kept)]),
    );
    terminal.print(`${document.kept} of ${document.examples} examples are kept.`);
    if (policy === 'max') {
      terminal.note(
        'Keeping the highest scores collects wrong labels as well: see --policy window.',
      );
    }
    terminal.note(`Selection: ${out}`);
  },
};
