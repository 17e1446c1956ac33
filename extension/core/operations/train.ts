import { resolve } from 'node:path';
import * as v from 'valibot';
import { trainModels } from '../datadiet/training/train-models';
import type { TrainResult } from '../datadiet/training/train-models';
import { dataField, datasetFields, datasetOptions, testField } from './data-fields';
import { integer, path } from './fields';
import { defineOperation } from './operation';
import { payingSharingFields, sharingRules } from './sharing';
import {
  passKind,
  proxyRequest,
  seedSharing,
  trainingFields,
  trainingSettings,
} from './training-fields';

export const train = defineOperation({
  id: 'train',
  title: 'Train Models',
  verb: 'Training',
  summary: 'Train a small model on a dataset with several seeds.',
  group: 'data',
  fields: {
    data: dataField,
    test: testField,
    out: path({
      description: 'Folder for weights and results',
      placeholder: 'DIR',
      required: true,
    }),
    epochs: integer({ description: 'Passes over the data', default: 3, min: 1 }),
    seeds: integer({ description: 'Number of trainings, with seeds 0, 1, …', default: 1, min: 1 }),
    ...payingSharingFields,
    ...datasetFields,
    ...trainingFields,
  },
  rules: sharingRules,
  result: v.looseObject({
    runs: v.array(
      v.looseObject({
        seed: v.number(),
        steps: v.number(),
        trainAccuracy: v.number(),
        testAccuracy: v.number(),
      }),
    ),
    secondsPerStep: v.number(),
  }),
  trust: 'write',
  resume: ({ out }) => out,
  work: async (request) =>
    Promise.resolve({
      kind: [...passKind(request), request.seeds > 1],
      amount: request.epochs * request.seeds,
    }),
  run: async (request, context): Promise<TrainResult> => {
    const { data, test, out, epochs, seeds } = request;
    const { environment } = context;
    return trainModels(
      {
        ...{ data: resolve(data), options: datasetOptions(request), out: resolve(out) },
        ...(test === undefined ? {} : { test: resolve(test) }),
        ...{
          proxy: proxyRequest(request, environment),
          training: trainingSettings(request),
          epochs,
          seeds,
        },
      },
      context,
      seedSharing(request, environment),
    );
  },
});
