import { resolve } from 'node:path';
import { planFor } from '../plans/plan';
import { applyFolders } from '../jobs/work-folder';
import type { SensitivityEvent } from '../tensornet/sensitivity/sensitivity-profile';
import { appliedSchema } from './apply';
import { applyNamedPlan, namedPlanWork } from './apply-named-plan';
import {
  applyAndMeasure,
  selectJudging,
  keepPlan,
  qualityFields,
  qualityRules,
} from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { forgetMeasured, planJournalPaths } from './budget-fields';
import {
  chooseCompression,
  compressingWork,
  planningFields,
  planningNames,
  planningRules,
} from './choose-compression';
import { compressionRules, compressionSettings } from './compression-fields';
import { selectRequirements, keepsLimits } from './requirement-fields';
import { requireMeasurable } from './judge-changed';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { planField } from './read-plan';
import { allNeed, anyOf, oneOf, replaces } from './rules';
import {
  optionalModelField,
  outputFields,
  outputOptions,
  runOptions,
  typeFields,
} from './shared-fields';
import { say } from '../message';
import { compressedOutcome } from './outcomes';

export const compress = defineOperation({
  id: 'compress',
  title: 'Compress Model',
  verb: 'Compressing',
  summary: 'Write a model with compressed linear layers, and check it.',
  group: 'shrink',
  fields: {
    model: optionalModelField,
    plan: planField,
    ...planningFields,
    ...outputFields,
    ...typeFields,
    ...qualityFields,
  },
  rules: [
    ...qualityRules,
    ...oneOf('method', 'budget', 'plan'),
    replaces('plan', planningNames, say`the plan specifies what to compress`),
    allNeed(Object.keys(typeFields), 'plan'),
    anyOf('model', 'plan'),
    ...planningRules,
    ...compressionRules,
  ],
  result: appliedSchema,
  trust: 'write',
  writesNextTo: ['plan'],
  passes: keepsLimits,
  requires: () => ({ model: 'compress' }),
  resume: ({ model = '', out, budget, sensitivity }) => [
    ...applyFolders(out),
    ...(budget === undefined ? [] : planJournalPaths(model, sensitivity)),
  ],
  work: async (request, { open }) => {
    if (request.plan !== undefined) {
      return namedPlanWork({ ...request, plan: request.plan }, open);
    }
    return compressingWork({ ...request, model: await open(request.model ?? '') });
  },
  run: async (request, context: OperationContext<SensitivityEvent>): Promise<ApplyResult> => {
    const { plan: given, calibration, out } = request;
    const examples = calibration === undefined ? {} : { examples: calibration };
    if (given !== undefined) {
      return applyNamedPlan({ ...request, plan: given, ...examples }, context);
    }
    const model = await context.environment.open(request.model ?? '');
    // Before the search.
    await requireMeasurable(selectRequirements(request), { original: model, ...examples }, context);
    const changes = await chooseCompression({ ...request, model }, context);
    const { fingerprint } = model.summary;
    const plan = planFor({ path: resolve(model.path), fingerprint }, changes);
    const choices = changes.compress ?? [];
    const result = await applyAndMeasure(
      {
        ...{ model, plan, judging: selectJudging(request), ...examples },
        ...outputOptions(request),
        ...runOptions(request),
        compression: compressionSettings(request, model.model, choices, context.environment),
      },
      context,
    );
    await keepPlan(plan, out, context);
    if (request.budget !== undefined && request.sensitivity === undefined) {
      await forgetMeasured(model.path);
    }
    return result;
  },
  presentation: {
    panel: 'compression',
    jobName: say`Compressing`,
    report: 'applied',
    opens: 'writtenModel',
    outcome: (result) => compressedOutcome(result),
    nextSteps: () => [
      ...(['playground', 'reveal', 'evenSmaller', 'compare'] as const),
      ...(['repair', 'evaluateBoth'] as const),
    ],
  },
});
