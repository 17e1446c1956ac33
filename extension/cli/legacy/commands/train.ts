import { resolve } from 'node:path';
import { trainModels } from '../../../core/datadiet/train-models';
import { formatPercent } from '../../../core/format';
import type { Command } from '../command';
import { printTable } from '../../table';
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

export const train: Command = {
  name: 'train',
  usage: `--data DIR [--test DIR] --model mlp|cnn|resnet|FILE.onnx [--epochs 3] [--seeds 1] --out DIR\n    ${trainingUsage} [--json]`,
  summary: 'Train a small model on a data set from several seeds.',
  options: {
    ...trainingOptionTypes,
    test: { type: 'string' },
    epochs: { type: 'string' },
    seeds: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, resumeHint }) => {
    const out = resolve(required(args, 'out'));
    const test = args.text('test');
    const request = {
      data: resolve(required(args, 'data')),
      options: readDatasetOptions(args),
      ...(test === undefined ? {} : { test: resolve(test) }),
      proxy: readProxy(args, samples),
      epochs: wholeNumber(args, 'epochs', 3),
      seeds: wholeNumber(args, 'seeds', 1),
      training: readTraining(args),
      out,
    };
    resumeHint(`Run the same command again to go on: what is done is kept in ${out}.`);
    const result = await trainModels(request, job, readProcesses(args));
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
      return;
    }
    printTable(
      terminal,
      ['seed', 'steps', 'train accuracy', 'test accuracy'],
      result.runs.map(({ seed, steps, trainAccuracy, testAccuracy }) => [
        String(seed),
        String(steps),
        formatPercent(trainAccuracy),
        formatPercent(testAccuracy),
      ]),
    );
    terminal.note(`${(1000 * result.secondsPerStep).toFixed(2)} ms a step. Weights: ${out}`);
  },
};
