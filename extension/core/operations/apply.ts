import * as v from 'valibot';
import { workFolder } from '../jobs/work-folder';
import { UserError } from '../user-error';
import { applyAndMeasure, qualityFields } from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { compressionFields, compressionRules, compressionSettings } from './compression-fields';
import { path } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { readPlan, requiredPlanField } from './read-plan';
import { outputFields, outputOptions, runFields, runOptions } from './shared-fields';

/** Sizes before and after, as scripts may rely on. */
export const appliedSchema = v.looseObject({
  path: v.string(),
  parametersBefore: v.number(),
  parametersAfter: v.number(),
  bytesBefore: v.number(),
  bytesAfter: v.number(),
  layers: v.optional(v.array(v.looseObject({ tensor: v.string() }))),
});

export const apply = defineOperation({
  id: 'apply',
  title: 'Apply Plan',
  verb: 'Applying',
  summary: 'Write the model that a plan describes, and check it.',
  fields: {
    plan: requiredPlanField,
    model: path({
      description: 'The model to change',
      placeholder: 'MODEL',
      fallback: "the plan's",
    }),
    ...outputFields,
    ...qualityFields,
    examples: path({ description: 'Examples to check models on that read no text' }),
    ...compressionFields,
    ...runFields,
  },
  rules: compressionRules,
  result: appliedSchema,
  trust: 'write',
  resume: ({ out }) => workFolder(out, 'compress'),
  run: async (request, context: OperationContext<unknown>): Promise<ApplyResult> => {
    const { plan, folder, model: path } = await readPlan(request.plan, request.model);
    const model = await context.environment.open(path);
    const choices = plan.compress ?? [];
    if (choices.length === 0) {
      requireNoCompression(request);
    }
    const { examples, quality } = request;
    return applyAndMeasure(
      {
        model,
        plan,
        planFolder: folder,
        ...outputOptions(request),
        ...runOptions(request),
        quality,
        ...(examples === undefined ? {} : { examples }),
        ...(choices.length === 0
          ? {}
          : {
              compression: compressionSettings(request, model.model, choices, context.environment),
            }),
      },
      context,
    );
  },
});

/** @throws UserError where a field would do nothing. */
function requireNoCompression(request: Readonly<Record<string, unknown>>): void {
  for (const [field, { default: fallback }] of Object.entries(compressionFields)) {
    if (request[field] !== undefined && request[field] !== fallback) {
      throw new UserError('This does nothing, as the plan compresses nothing.', { field });
    }
  }
}
