import * as v from 'valibot';
import type { Plan } from '../plans/plan';
import { writeDocument } from '../jobs/write-document';
import { explainNothingFreed, freeingNothing } from '../shared-weights';
import type { ProfileEvent } from '../prune/layer-profile';
import { chooseRemoval, removalFields, removalRules } from './choose-removal';
import { newFile } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { anyOf, excludes } from './rules';
import { amountNames } from './search-fields';
import { searchJournal } from './search-model';
import { modelField, outputFields } from './shared-fields';
import { pathNextToModel } from './output-file';

const { format, layout } = outputFields;

export const plan = defineOperation({
  id: 'plan',
  title: 'Plan Removal',
  verb: 'Planning',
  summary: 'Choose the least important sublayers and write a plan.',
  group: 'shrink',
  fields: {
    model: modelField,
    out: newFile('plan', { description: 'File for the plan (*.plan.json)' }),
    ...removalFields,
    format,
    layout,
  },
  rules: [anyOf(...amountNames), excludes(...amountNames), ...removalRules],
  result: v.looseObject({ format: v.literal('espalier.plan'), remove: v.array(v.string()) }),
  trust: 'run',
  resume: ({ model }) => searchJournal.path(undefined, model),
  suggestOut: async ({ model = '.' }) => pathNextToModel('plan', model),
  run: async (request, context: OperationContext<ProfileEvent>): Promise<Plan> => {
    const { format, layout, model, out } = request;
    const form = {
      ...(format === undefined ? {} : { format }),
      ...(layout === undefined ? {} : { layout }),
    };
    const file = out ?? (await pathNextToModel('plan', model));
    const opened = await context.environment.open(model);
    const { plan } = await chooseRemoval({ ...request, model: opened }, form, file, context);
    const nothing = explainNothingFreed(freeingNothing(opened.summary, plan.remove));
    if (nothing !== undefined) {
      context.warn(nothing);
    }
    if (out !== undefined) {
      await writeDocument(out, plan);
    }
    return plan;
  },
});
