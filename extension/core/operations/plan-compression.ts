import { resolve } from 'node:path';
import * as v from 'valibot';
import { sensitivityCalibration } from '../data/calibration-defaults';
import { planFor, plannedChanges } from '../plans/plan';
import { writeDocument } from '../jobs/write-document';
import { parseLimit } from '../tensornet/budget/budget-limits';
import type { BudgetLimit } from '../tensornet/budget/budget-limits';
import type { BudgetChoice } from '../tensornet/budget/plan-for-budget';
import type { RefinedPlan } from '../tensornet/budget/refine-plan';
import { parseCompression } from '../tensornet/compression-choice';
import type { SensitivityEvent } from '../tensornet/sensitivity/sensitivity-profile';
import {
  budgetFields,
  budgetRules,
  budgetWork,
  forgetMeasured,
  planJournalPaths,
  planByBudget,
} from './budget-fields';
import { integer, leftOpen, newFile } from './fields';
import type { RequestOf } from './fields';
import { ownFolder } from './journals';
import { layerFields } from './layer-fields';
import { sensitivityJournal, trialFields } from './measure-sensitivity';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { anyOf, needs } from './rules';
import { calibrationFields, calibrationRules, modelField, runFields } from './shared-fields';
import { countPhrase } from './outcomes';
import { say } from '../message';
import { formatPercent } from '../format';

const fields = {
  model: modelField,
  out: newFile('plan', { description: 'File for the plan (*.plan.json)' }),
  ...budgetFields,
  ...leftOpen({ ...trialFields, ...layerFields }),
  seed: integer({ description: 'Seed of random projections', default: 0, min: 0 }),
  ...calibrationFields(sensitivityCalibration),
  ...runFields,
};

export const planCompression = defineOperation({
  id: 'plan-compression',
  title: 'Plan Compression',
  verb: 'Planning compression of',
  summary: 'Choose how each layer is compressed under a budget, measured on the full model.',
  group: 'shrink',
  fields,
  rules: [anyOf('budget', 'limits'), needs('unit', 'budget'), ...budgetRules, ...calibrationRules],
  result: v.looseObject({
    compress: v.array(v.looseObject({ tensor: v.string() })),
    types: v.optional(v.record(v.string(), v.string())),
    byImportance: v.optional(v.boolean()),
    remove: v.array(v.string()),
    widths: v.array(v.object({ sublayer: v.string(), remove: v.string() })),
    cost: v.number(),
    costBefore: v.number(),
    distance: v.number(),
  }),
  trust: 'run',
  resume: ({ model, sensitivity }) => planJournalPaths(model, sensitivity),
  work: async (request, { open }) => budgetWork({ ...request, model: await open(request.model) }),
  run: async (request, context: OperationContext<SensitivityEvent>): Promise<RefinedPlan> => {
    const { model: path, out } = request;
    const model = await context.environment.open(path);
    const folder = await ownFolder(await sensitivityJournal.prepare(undefined, path), 'plan');
    const { note, ...plan } = await planByBudget(
      { ...request, model, takesTypes: true },
      folder,
      context,
    );
    if (out !== undefined) {
      const { fingerprint } = model.summary;
      const changes = { ...plannedChanges(plan), note };
      await writeDocument(out, planFor({ path: resolve(model.path), fingerprint }, changes));
    }
    if (request.sensitivity === undefined) {
      await forgetMeasured(model.path);
    }
    return plan;
  },
  presentation: {
    panel: 'compression',
    jobName: say`Planning`,
    document: 'sensitivity',
    updates: (result, request) => [
      {
        kind: 'compressionPlan',
        sensitivity: request.sensitivity,
        plan: { ...budgetChoice(request), result },
      },
    ],
    outcome: ({ cost, costBefore, compress }) => ({
      summary: say`Compressed ${countPhrase(compress.length, 'layer')}: the model takes ${formatPercent(cost / costBefore)} of the original.`,
      shown: true,
    }),
  },
});

const budgetChoice = (request: RequestOf<typeof fields>): BudgetChoice => ({
  limits: (request.limits ?? []).map(budgetLimit),
  context: request.context,
  schemes: (request.methods ?? []).map((method) => parseCompression(method)),
  embeddingAndHead: request.embeddings === true || request.head === true,
  prunesWidths: !request.keepWidths,
  removes: request.profile !== undefined,
});

/** A limit without the field that it was read from. */
function budgetLimit(text: string): BudgetLimit {
  const limit = parseLimit(text);
  const { unit } = limit;
  return 'ratio' in limit ? { unit, ratio: limit.ratio } : { unit, most: limit.most };
}
