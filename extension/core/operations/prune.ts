import { resolve } from 'node:path';
import { defaultDocumentPath } from '../document-names';
import { requireOutput } from '../export/output-folder';
import { writeSource } from '../export/write-source';
import { applyFolders } from '../jobs/work-folder';
import type { ProfileEvent } from '../prune/layer-profile';
import { appliedSchema } from './apply';
import { applyNamedPlan } from './apply-named-plan';
import {
  applyAndMeasure,
  selectJudging,
  keepPlan,
  qualityFields,
  qualityRules,
} from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { chooseRemoval, removalFields, removalNames, removalRules } from './choose-removal';
import { compressionFields } from './compression-fields';
import { path } from './fields';
import { buildRequest } from './build-request';
import { selectRequirements, keepsLimits } from './requirement-fields';
import { requireMeasurable } from './judge-changed';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { planField } from './read-plan';
import { anyOf, oneOf, replaces } from './rules';
import { amountNames } from './search-fields';
import { searchJournal, searchWork } from './search-model';
import {
  optionalModelField,
  outputFields,
  outputOptions,
  runFields,
  runOptions,
  typeFields,
  typeOptions,
} from './shared-fields';
import { say } from '../message';
import { prunedOutcome } from './outcomes';

export const prune = defineOperation({
  id: 'prune',
  title: 'Prune Layers',
  verb: 'Pruning',
  summary: 'Write a smaller model without the least important sublayers, and check it.',
  group: 'shrink',
  fields: {
    model: optionalModelField,
    plan: planField,
    ...removalFields,
    ...outputFields,
    ...typeFields,
    ...qualityFields,
    examples: path({ description: 'Examples to check models without text input' }),
    ...runFields,
  },
  rules: [
    replaces('plan', removalNames, say`the plan specifies what to remove`),
    ...oneOf('plan', ...amountNames),
    anyOf('model', 'plan'),
    ...removalRules,
    ...qualityRules,
  ],
  result: appliedSchema,
  trust: 'write',
  writesNextTo: ['plan'],
  passes: keepsLimits,
  resume: ({ model = '', plan, out }) =>
    plan === undefined ? searchJournal.path(undefined, model) : applyFolders(out),
  work: async (request, { open }) =>
    request.plan === undefined && request.profile === undefined
      ? searchWork(request, await open(request.model ?? ''), outputOptions(request))
      : undefined,
  run: async (request, context: OperationContext<ProfileEvent>): Promise<ApplyResult> => {
    if (request.plan !== undefined) {
      const defaults = buildRequest({ fields: compressionFields, rules: [] }, {});
      const seed = request.seed ?? defaults.seed;
      return applyNamedPlan({ ...defaults, ...request, plan: request.plan, seed }, context);
    }
    const output = outputOptions(request);
    const model = await context.environment.open(request.model ?? '');
    if (request.profile === undefined) {
      const asked = request.examples ?? request.calibration;
      // Before the search.
      await requireMeasurable(
        selectRequirements(request),
        { original: model, ...(asked === undefined ? {} : { examples: asked }) },
        context,
      );
    }
    await requireOutput(request.out, writeSource(model).path, request.overwrite);
    const file = defaultDocumentPath('plan', resolve(request.out));
    const { plan, profile } = await chooseRemoval({ ...request, model }, output, file, context);
    const examples = request.examples ?? profile.calibration.source;
    const result = await applyAndMeasure(
      {
        ...{ model, plan, judging: selectJudging(request), examples },
        ...output,
        ...(await typeOptions(request, model, context.environment)),
        ...runOptions(request),
      },
      context,
    );
    await keepPlan(plan, request.out, context);
    return result;
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Pruning`,
    report: 'applied',
    opens: 'writtenModel',
    outcome: (result, job) => prunedOutcome(result, job),
    nextSteps: () => ['playground', 'reveal', 'makeSmaller', 'openHeatmap', 'evaluateBoth'],
  },
});
