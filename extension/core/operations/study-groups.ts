import { resolve } from 'node:path';
import * as v from 'valibot';
import { studyGroups as study } from '../datadiet/subsets/group-study';
import type { GroupStudy } from '../datadiet/subsets/group-study';
import { readScores } from '../datadiet/scores/score-files';
import { writeDocument } from '../jobs/write-document';
import { dataField, datasetFields, datasetOptions } from './data-fields';
import { integer, integers, newFile } from './fields';
import { defineOperation } from './operation';
import { scoresField } from './select-data';
import { proxyRequest, trainingFields, trainingSettings } from './training-fields';

export const studyGroups = defineOperation({
  id: 'study-groups',
  title: 'Study Groups of Examples',
  verb: 'Studying',
  summary: 'Measure kernel velocity and mode connectivity of examples with similar scores.',
  group: 'data',
  fields: {
    data: dataField,
    scores: scoresField,
    out: newFile('study', { description: 'File for the result (.json)', required: true }),
    epochs: integer({ description: 'Passes over the data', default: 5, min: 1 }),
    groups: integer({
      description: 'Groups, evenly spread over the order of scores',
      default: 10,
      min: 1,
    }),
    groupSize: integer({ description: 'Examples in a group', default: 100, min: 2 }),
    spawn: integers({
      description: 'Epochs after which two children continue from the same weights',
      default: [0, 1, 2],
      min: 0,
    }),
    seed: integer({ description: 'Seed of the weights', default: 0, min: 0 }),
    ...datasetFields,
    ...trainingFields,
  },
  rules: [],
  result: v.looseObject({
    groups: v.array(
      v.looseObject({
        rank: v.number(),
        meanScore: v.number(),
        kernelVelocity: v.array(v.number()),
        errorBarrier: v.array(v.number()),
      }),
    ),
  }),
  trust: 'run',
  run: async (request, context): Promise<GroupStudy> => {
    const { data, epochs, groups, groupSize, spawn, seed } = request;
    const result = await study(
      {
        ...{ data: resolve(data), options: datasetOptions(request) },
        ...{
          proxy: proxyRequest(request, context.environment),
          training: trainingSettings(request),
        },
        ...{ epochs, groups, groupSize, spawn, seed },
      },
      await readScores(resolve(request.scores)),
      context,
    );
    await writeDocument(resolve(request.out), result);
    return result;
  },
});
