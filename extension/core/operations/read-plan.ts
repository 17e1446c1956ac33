import type * as v from 'valibot';
import { dirname, resolve } from 'node:path';
import type { Plan } from '../plans/plan';
import { parsePlan, planSchema } from '../plans/plan-schema';
import { documentOrContent } from './fields';
import { say } from '../message';
import { readSmallText } from '../regular-file';

const schema = planSchema as v.GenericSchema<unknown, Plan>;

/** A plan by its path; as JSON also the plan itself, with absolute paths. */
export const planField = documentOrContent('plan', schema, {
  description: 'Plan of changes (*.plan.json)',
  placeholder: 'PLAN',
});

/** Required {@link planField}. */
export const requiredPlanField = documentOrContent('plan', schema, {
  description: planField.description,
  placeholder: planField.placeholder,
  positional: true,
  required: true,
  missing: say`Specify a plan: a *.plan.json file.`,
});

/** Plan of a request, given by its path or as JSON. */
export interface NamedPlan {
  readonly plan: Plan;
  /** Path of the plan, if it is in a file. */
  readonly file: string | undefined;
  /** The folder that files of the plan are relative to. */
  readonly folder: string;
  /** The model that was named, or else the plan's. */
  readonly model: string;
}

/** @throws UserError if the file is missing or not a plan. */
export async function readPlan(
  given: string | Plan,
  model: string | undefined,
): Promise<NamedPlan> {
  if (typeof given !== 'string') {
    return { plan: given, file: undefined, folder: '', model: model ?? given.model.path };
  }
  const text = await readSmallText(given, say`There is no such plan.`);
  const plan = parsePlan(text, given);
  const folder = dirname(resolve(given));
  return { plan, file: given, folder, model: model ?? resolve(folder, plan.model.path) };
}
