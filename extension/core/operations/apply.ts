import * as v from 'valibot';
import { applyFolders } from '../jobs/work-folder';
import { applyNamedPlan, namedPlanWork } from './apply-named-plan';
import { qualityFields, qualityRules } from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { compressionFields, compressionRules } from './compression-fields';
import { path } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { keepsLimits, verdictSchema } from './requirement-fields';
import { requiredPlanField } from './read-plan';
import { outputFields, runFields, typeFields } from './shared-fields';

/** Sizes before and after, part of the stable result for scripts. */
export const appliedSchema = v.looseObject({
  path: v.string(),
  parametersBefore: v.number(),
  parametersAfter: v.number(),
  bytesBefore: v.number(),
  bytesAfter: v.number(),
  layers: v.optional(v.array(v.looseObject({ tensor: v.string() }))),
  verdict: v.optional(verdictSchema),
});

export const apply = defineOperation({
  id: 'apply',
  title: 'Apply Plan',
  verb: 'Applying',
  summary: 'Write the model that a plan describes, and check it.',
  group: 'shrink',
  fields: {
    plan: requiredPlanField,
    model: path({
      description: 'Model to change',
      placeholder: 'MODEL',
      fallback: "the plan's",
    }),
    ...outputFields,
    ...typeFields,
    ...qualityFields,
    examples: path({ description: 'Examples to check models without text input' }),
    ...compressionFields,
    ...runFields,
  },
  rules: [...compressionRules, ...qualityRules],
  result: appliedSchema,
  trust: 'write',
  passes: keepsLimits,
  resume: ({ out }) => applyFolders(out),
  work: async (request, { open }) => namedPlanWork(request, open),
  run: async (request, context: OperationContext<unknown>): Promise<ApplyResult> =>
    applyNamedPlan(request, context),
});
