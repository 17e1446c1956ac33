import { planFor } from '../plans/plan';
import { appliedSchema } from './apply';
import { applyAndMeasure, judgingOf, qualityFields, qualityRules } from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { path } from './fields';
import { keepsLimits } from './gate-fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import {
  modelField,
  outputFields,
  outputOptions,
  runFields,
  runOptions,
  typeFields,
  typeOptions,
} from './shared-fields';
import { compressedOutcome } from './outcomes';

export const convert = defineOperation({
  id: 'convert',
  title: 'Convert Model',
  verb: 'Converting',
  summary: 'Write a model in another format or with other types, and check it.',
  fields: {
    model: modelField,
    ...outputFields,
    ...typeFields,
    ...qualityFields,
    examples: path({ description: 'Examples to check models on that read no text' }),
    ...runFields,
  },
  rules: qualityRules,
  result: appliedSchema,
  trust: 'write',
  passes: keepsLimits,
  run: async (request, context: OperationContext<unknown>): Promise<ApplyResult> => {
    const { examples } = request;
    const model = await context.environment.open(request.model);
    return applyAndMeasure(
      {
        ...{ model, judging: judgingOf(request), plan: planFor({ path: model.path }, {}) },
        ...outputOptions(request),
        ...(await typeOptions(request)),
        ...runOptions(request),
        ...(examples === undefined ? {} : { examples }),
      },
      context,
    );
  },
  presentation: {
    opens: 'folder',
    outcome: (result) => compressedOutcome(result),
    nextSteps: () => ['reveal', 'compare', 'playground'],
  },
});
