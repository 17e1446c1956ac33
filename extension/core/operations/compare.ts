import * as v from 'valibot';
import { compareModels } from '../inspect/compare-models';
import type { CompareRequest, ModelComparison } from '../inspect/model-comparison';
import { commonBlocks } from '../pipelines/source-blocks';
import { flag, path } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { modelField } from './shared-fields';
import { say } from '../message';

const missing = say`Name two models: their folders or any of their files.`;

export const compare = defineOperation({
  id: 'compare',
  title: 'Compare Models',
  verb: 'Comparing',
  summary: 'Show how two models differ: structure, configuration and, optionally, weights.',
  fields: {
    model: { ...modelField, missing },
    against: path({
      description: 'The other model',
      placeholder: 'MODEL2',
      positional: true,
      required: true,
      missing,
    }),
    weights: flag({
      description: 'Read the weights of every tensor that both have in the same shape',
      default: false,
    }),
  },
  rules: [],
  result: v.looseObject({
    config: v.array(v.looseObject({ field: v.string() })),
    weights: v.optional(v.looseObject({ equal: v.number() })),
  }),
  trust: 'inspect',
  run: async (request, context): Promise<ModelComparison> => compareRelated(request, context),
});

/** Compares two models; where one was made from the other, blocks that were numbered anew are matched. */
export async function compareRelated(
  request: CompareRequest,
  context: OperationContext,
): Promise<ModelComparison> {
  const { open } = context.environment;
  const numbers = await commonBlocks(request.model, request.against, open);
  return compareModels({ ...request, numbers }, context, open);
}
