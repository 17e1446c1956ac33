import type { OpenModel } from '../models/model-cache';
import type { Plan } from '../plans/plan';
import { inFile, UserError } from '../user-error';
import { applyAndMeasure, selectJudging } from './apply-plan';
import type { ApplyResult, qualityFields } from './apply-plan';
import { choicesWork, compressionFields, compressionSettings } from './compression-fields';
import type { RequestOf } from './fields';
import type { OperationContext } from './operation';
import { readPlan } from './read-plan';
import {
  calibrationNames,
  distillationWork,
  isCalibrated,
  outputOptions,
  runOptions,
  typeOptions,
} from './shared-fields';
import type { outputFields, runFields, typeFields } from './shared-fields';
import type { Work } from './work';
import { say } from '../message';

type NamedPlanRequest = RequestOf<typeof outputFields> &
  RequestOf<typeof qualityFields> &
  Partial<RequestOf<typeof typeFields>> &
  RequestOf<typeof runFields> &
  RequestOf<typeof compressionFields> & {
    readonly plan: string | Plan;
    readonly model?: string;
    readonly examples?: string;
  };

/**
 * Applies a plan that a request names or holds.
 * @throws UserError if the request has compression settings, but the plan compresses nothing
 */
export async function applyNamedPlan(
  request: NamedPlanRequest,
  context: OperationContext<unknown>,
): Promise<ApplyResult> {
  const { plan, file, folder, model: path } = await readPlan(request.plan, request.model);
  const model = await context.environment.open(path);
  const choices = plan.compress ?? [];
  if (choices.length === 0) {
    requireNoCompression(request, isCalibrated(request.rounding) ? calibrationNames : []);
  }
  const { examples } = request;
  return applyAndMeasure(
    {
      ...{ model, plan, planFolder: folder, judging: selectJudging(request) },
      ...outputOptions(request),
      ...(await typeOptions(request, model, context.environment)),
      ...runOptions(request),
      ...(examples === undefined ? {} : { examples }),
      ...(choices.length === 0
        ? {}
        : { compression: compressionSettings(request, model.model, choices, context.environment) }),
    },
    context,
  ).catch((error: unknown) => {
    throw file !== undefined && isAbout(error, plan, request) ? inFile(error, file) : error;
  });
}

/** True if an error is about a field of the plan rather than of the request. */
function isAbout(error: unknown, plan: Plan, request: object): boolean {
  const [field = ''] = (error instanceof UserError ? (error.subject.field ?? '') : '').split('.');
  return Object.hasOwn(plan, field) && !Object.hasOwn(request, field);
}

/** Work of applying a plan that compresses; undefined if it only writes. */
export async function namedPlanWork(
  request: NamedPlanRequest,
  open: OpenModel,
): Promise<Work | undefined> {
  const { plan: given, model: named, calibrate, quality } = request;
  const { plan, model: path } = await readPlan(given, named);
  const choices = plan.compress ?? [];
  const model = await open(path);
  return choices.length === 0
    ? distillationWork(request, model)
    : choicesWork(model, choices, calibrate, quality);
}

/** @throws UserError if a field would have no effect */
function requireNoCompression(
  request: Readonly<Record<string, unknown>>,
  used: readonly string[],
): void {
  for (const [field, { default: fallback }] of Object.entries(compressionFields)) {
    const isGiven = request[field] !== undefined && request[field] !== fallback;
    if (isGiven && !used.includes(field)) {
      throw new UserError(
        'flag-without-effect',
        say`This has no effect: the plan compresses nothing.`,
        { field, remedy: say`Leave it out.` },
      );
    }
  }
}
