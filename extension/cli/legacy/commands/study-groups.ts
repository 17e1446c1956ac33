import { resolve } from 'node:path';
import { studyGroups } from '../../../core/datadiet/group-study';
import { readScores } from '../../../core/datadiet/score-files';
import { writeDocument } from '../../../core/jobs/write-document';
import type { Command } from '../command';
import { printTable } from '../../table';
import {
  readDatasetOptions,
  readProxy,
  readTraining,
  required,
  trainingOptionTypes,
  trainingUsage,
  wholeNumber,
} from '../training-options';

export const studyGroupsCommand: Command = {
  name: 'study-groups',
  usage: `--data DIR --scores FILE --model mlp|cnn|resnet|FILE.onnx [--epochs 5] [--groups 10] [--group-size 100]
    [--spawn 0,1,2] [--seed 0] --out FILE\n    ${trainingUsage} [--json]`,
  summary: 'Measure kernel velocity and mode connectivity of examples of about the same score.',
  options: {
    ...trainingOptionTypes,
    scores: { type: 'string' },
    epochs: { type: 'string' },
    groups: { type: 'string' },
    'group-size': { type: 'string' },
    spawn: { type: 'string', multiple: true },
    seed: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples }) => {
    const out = resolve(required(args, 'out'));
    const scores = await readScores(resolve(required(args, 'scores')));
    const spawn = args.texts('spawn').map(Number);
    const result = await studyGroups(
      {
        data: resolve(required(args, 'data')),
        options: readDatasetOptions(args),
        proxy: readProxy(args, samples),
        training: readTraining(args),
        epochs: wholeNumber(args, 'epochs', 5),
        groups: wholeNumber(args, 'groups', 10),
        groupSize: wholeNumber(args, 'group-size', 100, 2),
        spawn: spawn.length === 0 ? [0, 1, 2] : spawn,
        seed: wholeNumber(args, 'seed', 0, 0),
      },
      scores,
      job,
    );
    await writeDocument(out, result);
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
      return;
    }
    const last = result.groups[0]?.kernelVelocity.length ?? 0;
    printTable(
      terminal,
      [
        'from rank',
        'mean score',
        'velocity, epoch 1',
        `epoch ${last}`,
        ...result.spawn.map((epoch) => `barrier from epoch ${epoch}`),
      ],
      result.groups.map(({ rank, meanScore, kernelVelocity, errorBarrier }) => [
        String(rank),
        meanScore.toPrecision(3),
        (kernelVelocity[0] ?? 0).toPrecision(3),
        (kernelVelocity.at(-1) ?? 0).toPrecision(3),
        ...errorBarrier.map((barrier) => barrier.toFixed(3)),
      ]),
    );
    terminal.note(`Result: ${out}`);
  },
};
