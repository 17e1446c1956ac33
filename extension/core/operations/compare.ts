import * as v from 'valibot';
import type { ModelComparison } from '../inspect/model-comparison';
import { compareRelated } from './compare-related';
import { flag, path } from './fields';
import { defineOperation } from './operation';
import { modelField } from './shared-fields';
import { say } from '../message';

const missing = say`Specify two models: their folders or any of their files.`;

export const compare = defineOperation({
  id: 'compare',
  title: 'Compare Models',
  verb: 'Comparing',
  summary: 'Show the differences of two models: structure, configuration and, optionally, weights.',
  group: 'inspect',
  fields: {
    model: { ...modelField, missing },
    against: path({
      description: 'Second model',
      placeholder: 'MODEL2',
      positional: true,
      required: true,
      missing,
    }),
    weights: flag({
      description: 'Compare the weights of every tensor that has the same shape in both',
      default: false,
    }),
  },
  rules: [],
  result: v.looseObject({
    config: v.array(v.looseObject({ field: v.string() })),
    weights: v.optional(v.looseObject({ equal: v.number() })),
  }),
  trust: 'inspect',
  run: async (request, context): Promise<ModelComparison> =>
    compareRelated(request, context, context.environment.open),
});
