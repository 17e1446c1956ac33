import { resolve } from 'node:path';
import { cartographyFiles } from '../../../core/datadiet/dynamics';
import { scoreKinds } from '../../../core/datadiet/score-document';
import { scoreDataset } from '../../../core/datadiet/score-dataset';
import { formatOf, scoreFormats, writeScores } from '../../../core/datadiet/score-files';
import type { Command } from '../command';
import {
  readDatasetOptions,
  readProcesses,
  readProxy,
  readTraining,
  required,
  trainingOptionTypes,
  trainingUsage,
  wholeNumber,
} from '../training-options';

export const scoreData: Command = {
  name: 'score-data',
  usage: `--data DIR --model mlp|cnn|resnet|FILE.onnx [--runs 10] [--epoch 3]
    [--score ${scoreKinds.join('|')}] --out FILE [--format ${scoreFormats.join('|')}] [--dynamics DIR]
    ${trainingUsage} [--json]`,
  summary: 'Score how much each example of a data set matters for training.',
  options: {
    ...trainingOptionTypes,
    runs: { type: 'string' },
    epoch: { type: 'string' },
    score: { type: 'string' },
    out: { type: 'string' },
    format: { type: 'string' },
    dynamics: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, resumeHint }) => {
    const out = resolve(required(args, 'out'));
    const folder = `${out}.runs`;
    const dynamics = args.text('dynamics');
    resumeHint(`Run the same command again to go on: what is done is kept in ${folder}.`);
    const format = args.choice('format', scoreFormats, formatOf(out));
    const document = await scoreDataset(
      {
        data: resolve(required(args, 'data')),
        options: readDatasetOptions(args),
        proxy: readProxy(args, samples),
        score: args.choice('score', scoreKinds, 'el2n'),
        runs: wholeNumber(args, 'runs', 10),
        epoch: wholeNumber(args, 'epoch', 3, 0),
        training: readTraining(args),
        folder,
        write: async (scored) => writeScores(out, scored, format),
      },
      job,
      readProcesses(args),
      dynamics === undefined ? undefined : cartographyFiles(resolve(dynamics)),
    );
    const { scoring, examples, notes, labelIssues } = document;
    const { runs = 0, interRunSpearman = null, seconds = 0 } = scoring ?? {};
    if (args.flag('json')) {
      terminal.print(JSON.stringify({ examples, runs, interRunSpearman, seconds }, undefined, 2));
      return;
    }
    const agreement = interRunSpearman === null ? 'none for one run' : interRunSpearman.toFixed(3);
    const issues = labelIssues.filter((issue) => issue === 1).length;
    terminal.print(`${examples} examples, ${runs} runs, ${seconds.toFixed(1)} s`);
    terminal.print(`Spearman between runs: ${agreement}`);
    terminal.print(`Suspected labels: ${issues}`);
    notes.forEach((note) => {
      terminal.note(note);
    });
    terminal.note(`Scores: ${out}`);
  },
};
