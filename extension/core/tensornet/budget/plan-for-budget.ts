import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import type { CalibrationRequest } from '../../data/calibration';
import { makeWorkFolder } from '../../jobs/work-folder';
import type { JobContext, StageProgress } from '../../jobs/job';
import { nothingSaved } from '../../jobs/saved-parts';
import type { SavedParts } from '../../jobs/saved-parts';
import type { LayeredModel } from '../../models/layered-model';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceChoice, DeviceName } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { UserError } from '../../user-error';
import type { SensitivityProfile, TokenTimes } from '../sensitivity/sensitivity-profile';
import { loadProfileInputs } from '../statistics/profile-inputs';
import { PlanMeasurer } from './plan-measurer';
import { planProblem } from './plan-under-budget';
import type { RemovalCost, CompressionPlan } from './plan-under-budget';
import { isTimeUnit } from './budget-limits';
import type { Budget, BudgetLimit } from './budget-limits';
import { refinePlan } from './refine-plan';
import type { RefusePlan } from './choose-writable';
import type { RefinedPlan } from './refine-plan';
import { say } from '../../message';
import type { Message } from '../../message';
import type { CompressionScheme } from '../sensitivity/schemes';

/** Model, profile and texts for measuring plans. */
export interface MeasurerRequest {
  readonly model: OpenedModel;
  /** Sensitivity profile of this model. */
  readonly table: SensitivityProfile;
  /** Calibration that plans are measured on; they are fitted to other inputs, see {@link loadProfileInputs}. */
  readonly calibration: CalibrationRequest;
  readonly bundledText: string;
  /** Folder for temporary encodings, removed at the end. */
  readonly folder: string;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Time by `performance.now()` after which only the first plan is measured, without undoing its changes. */
  readonly deadline?: number | undefined;
}

/** Request for a plan under a budget. */
export interface BudgetRequest extends MeasurerRequest {
  readonly budget: Budget;
  /** Sublayers that can be removed, measured with the profile's metric. */
  readonly removable?: readonly RemovalCost[];
  /** Number of refinement rounds: measure the whole plan and plan again. */
  readonly rounds: number;
  /**
   * Times the planned model against the original, see {@link PlanMeasurement.times}; uses the profile's times by
   * default.
   */
  readonly time?: PlanTimer | undefined;
  readonly refuse?: RefusePlan | undefined;
  /** Stores measured plans, so that a stopped run can resume. */
  readonly saved?: SavedParts;
}

const measuredPlanSchema = v.object({
  /** Key of the plan. */
  plan: v.string(),
  distance: v.number(),
  without: v.array(v.tuple([v.string(), v.number()])),
  times: v.optional(v.object({ decodeMsPerToken: v.number(), prefillMsPerToken: v.number() })),
});

/**
 * Measures the times of a model without some sublayers as shares of the original's; undefined if they can't be
 * measured.
 */
export type PlanTimer = (
  changed: LayeredModel,
  removed: readonly string[],
) => Promise<TokenTimes | undefined>;

/** Default number of refinement rounds, after which most of the gain is reached. */
export const defaultRounds = 3;

/**
 * Plans an encoding or removal for every linear layer and sublayer under a budget, from a profile of single changes and
 * measurements of whole plans.
 * @throws UserError if the profile is for another model, or the budget can't be met
 */
export async function planForBudget(
  request: BudgetRequest,
  context: JobContext,
): Promise<RefinedPlan> {
  requireMatchingTable(request);
  const { budget, table, removable } = request;
  const time = budget.limits.some(({ unit }) => isTimeUnit(unit)) ? request.time : undefined;
  const problem = planProblem(table, budget, removable, { isTimed: time !== undefined });
  const { rounds, calibration, saved = nothingSaved } = request;
  const { model, layers, embeddingAndHead, widths, runs } = table;
  await saved.bind([
    ...[model.fingerprint, layers, embeddingAndHead, widths, runs],
    ...[budget, removable, rounds, calibration, request.device],
  ]);
  const { values, add } = saved.part('plans', measuredPlanSchema);
  let plan = 0;
  const progress = (one: StageProgress): void => {
    const plans = 1 + Math.max(rounds, plan);
    context.progress({ ...one, done: plan * one.total + one.done, total: plans * one.total });
  };
  return withMeasurer(
    request,
    context,
    async (measurer) =>
      refinePlan(
        problem,
        async (chosen, inTurn) => {
          const { compress, remove, widths } = chosen;
          const key = createHash('sha256')
            .update(JSON.stringify([compress, remove, widths]))
            .digest('hex');
          const known = values.find((one) => one.plan === key);
          if (known !== undefined) {
            plan++;
            return { ...known, without: new Map(known.without) };
          }
          const measured = await measurer.measure(chosen, inTurn);
          if (time !== undefined) {
            progress({ stage: say`Timing the model`, done: 1, total: 1, unit: 'steps' });
          }
          const times = await time?.(await measurer.modelOf(chosen), remove);
          plan++;
          await add([{ plan: key, ...measured, without: [...measured.without], times }]);
          return { ...measured, times };
        },
        rounds,
        context,
        { deadline: request.deadline, refuse: request.refuse },
      ),
    progress,
  );
}

/**
 * Opens a measurer for plans of a profile.
 * @param progress receives the progress of each plan
 * @throws UserError if the profile is for another model
 */
export async function withMeasurer<Result>(
  request: MeasurerRequest,
  context: JobContext,
  use: (measurer: PlanMeasurer, device: DeviceName) => Promise<Result>,
  progress = (one: StageProgress): void => {
    context.progress(one);
  },
): Promise<Result> {
  requireMatchingTable(request);
  const { table, folder, memoryBytes, deadline } = request;
  const { metric, settings } = table;
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const fitted = table.layers.flatMap((layer) =>
    layer.entries.map((entry) => ({ in: layer.in, ...entry })),
  );
  const { measured, fitting = measured } = await loadProfileInputs(
    request.calibration,
    request.model.model,
    request.bundledText,
    { seed: settings.seed, fitted },
    warn,
  );
  const device = await resolveDevice(request.device, warn);
  await makeWorkFolder(folder);
  const measurer = new PlanMeasurer(
    {
      ...{ model: request.model, metric, device, memoryBytes, folder },
      ...{ inputs: measured.inputs, fittedTo: fitting.inputs, seed: settings.seed, deadline },
    },
    { cancellation: context.cancellation, progress },
  );
  try {
    return await use(measurer, device);
  } finally {
    await measurer.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

function requireMatchingTable({ model, table }: MeasurerRequest): void {
  if (model.summary.fingerprint !== table.model.fingerprint) {
    throw new UserError(
      'profile-mismatch',
      say`The sensitivity profile was made for another model than ${model.summary.path}.`,
      {
        field: 'model.fingerprint',
        remedy: say`Profile the sensitivity of this model again.`,
      },
    );
  }
}

/** Budget and allowed changes of a plan. */
export interface BudgetChoice {
  /** All limits apply together; sizes are reported in the unit of the first. */
  readonly limits: readonly BudgetLimit[];
  /** Context length for memory, in tokens; the default if undefined. */
  readonly context?: number | undefined;
  /** Compression schemes that the plan may use. */
  readonly schemes: readonly CompressionScheme[];
  /** True if sublayers may be removed, by the layer profile. */
  readonly removes: boolean;
  /** True to allow width pruning, if the profile includes widths. */
  readonly prunesWidths: boolean;
  /** True to allow compressing embedding and head, if the profile includes them. */
  readonly embeddingAndHead: boolean;
}

/** Plan with the budget that it was made for: predicted from single changes, or measured as a whole. */
export interface MadePlan extends BudgetChoice {
  readonly result: CompressionPlan & Partial<Pick<RefinedPlan, 'distance' | 'tried'>>;
}
