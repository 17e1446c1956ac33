import { resolve } from 'node:path';
import * as v from 'valibot';
import { sensitivityCalibration } from '../data/calibration-defaults';
import { planFor, plannedChanges } from '../plans/plan';
import { writeDocument } from '../jobs/write-document';
import type { RefinedPlan } from '../tensornet/budget/refine-plan';
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
import { ownFolder } from './journals';
import { layerFields } from './layer-fields';
import { sensitivityJournal, trialFields } from './measure-sensitivity';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { anyOf, needs } from './rules';
import { calibrationFields, calibrationRules, modelField, runFields } from './shared-fields';
import { several } from './outcomes';
import { say } from '../message';
import { formatPercent } from '../format';

export const planCompression = defineOperation({
  id: 'plan-compression',
  title: 'Plan Compression',
  verb: 'Planning compression of',
  summary: 'Choose how each layer is compressed under a budget, measured on the full model.',
  fields: {
    model: modelField,
    out: newFile('plan', { description: 'Where to write the plan (*.plan.json)' }),
    ...budgetFields,
    ...leftOpen({ ...trialFields, ...layerFields }),
    seed: integer({ description: 'Seed of random projections', default: 0, min: 0 }),
    ...calibrationFields(sensitivityCalibration),
    ...runFields,
  },
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
    document: 'sensitivity',
    outcome: ({ cost, costBefore, compress }) => ({
      summary: say`Compressed ${several(compress.length, 'layer')}: the model takes ${formatPercent(cost / costBefore)} of the original.`,
      shown: true,
    }),
  },
});
