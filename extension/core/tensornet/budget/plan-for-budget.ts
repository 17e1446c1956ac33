import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import type { CalibrationRequest } from '../../data/calibration';
import { makeWorkFolder } from '../../jobs/make-work-folder';
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
import type { RemovalCost } from './plan-under-budget';
import { isTime } from './budget-limits';
import type { Budget } from './budget-limits';
import { refinePlan } from './refine-plan';
import type { RefinedPlan } from './refine-plan';
import { say } from '../../message';
import type { Message } from '../../message';

/** What plans are measured on, and by which table. */
export interface MeasurerRequest {
  readonly model: OpenedModel;
  /** A table of this model. */
  readonly table: SensitivityProfile;
  /** What plans are measured on; they are fitted to further inputs, as {@link loadProfileInputs} says. */
  readonly calibration: CalibrationRequest;
  readonly bundledText: string;
  /** A folder for forms in work, which is removed at the end. */
  readonly folder: string;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** What to plan for. */
export interface BudgetRequest extends MeasurerRequest {
  readonly budget: Budget;
  /** Sublayers that may go, measured by the table's metric. */
  readonly removable?: readonly RemovalCost[];
  /** Times that the choice is made anew by what the whole plan showed. */
  readonly rounds: number;
  /** Times a plan's model beside the original, see {@link PlanMeasurement.times}; without it the table decides. */
  readonly time?: TimePlan | undefined;
  /** Where plans that are measured are kept, for a run that is stopped and made again. */
  readonly saved?: SavedParts;
}

const measuredPlanSchema = v.object({
  /** Tells plans apart. */
  plan: v.string(),
  distance: v.number(),
  without: v.array(v.tuple([v.string(), v.number()])),
  times: v.optional(v.object({ decodeMsPerToken: v.number(), prefillMsPerToken: v.number() })),
});

/** Milliseconds of a model without sublayers, as shares of the original's; undefined where they can't be measured. */
export type TimePlan = (
  changed: LayeredModel,
  removed: readonly string[],
) => Promise<TokenTimes | undefined>;

/** Rounds where nothing is said: most of what they gain is gained by then. */
export const defaultRounds = 3;

/**
 * Plans what becomes of every linear layer and sublayer under a budget, by a table of single changes
 * and by real measurements of the whole.
 * @throws UserError where the table is of another model, or the budget cannot be kept.
 */
export async function planForBudget(
  request: BudgetRequest,
  context: JobContext,
): Promise<RefinedPlan> {
  requireTableOf(request);
  const { budget, table, removable } = request;
  const time = budget.limits.some(({ unit }) => isTime(unit)) ? request.time : undefined;
  const problem = planProblem(table, budget, removable, { isTimed: time !== undefined });
  const { rounds, calibration, saved = nothingSaved } = request;
  const { model, layers, outer, widths, runs } = table;
  await saved.bind([
    ...[model.fingerprint, layers, outer, widths, runs],
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
          const { compress, remove, narrow } = chosen;
          const key = createHash('sha256')
            .update(JSON.stringify([compress, remove, narrow]))
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
      ),
    progress,
  );
}

/**
 * Lets plans of a table be measured, or run.
 * @param progress what is told of the work on each plan
 * @throws UserError where the table is of another model.
 */
export async function withMeasurer<Result>(
  request: MeasurerRequest,
  context: JobContext,
  use: (measurer: PlanMeasurer, device: DeviceName) => Promise<Result>,
  progress = (one: StageProgress): void => {
    context.progress(one);
  },
): Promise<Result> {
  requireTableOf(request);
  const { table, folder, memoryBytes } = request;
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
      ...{ inputs: measured.inputs, fittedTo: fitting.inputs, seed: settings.seed },
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

function requireTableOf({ model, table }: MeasurerRequest): void {
  if (model.summary.fingerprint !== table.model.fingerprint) {
    throw new UserError(
      say`The sensitivity profile was made for another model than ${model.summary.path}.`,
      {
        field: 'model.fingerprint',
        remedy: say`Profile the sensitivity of this model again.`,
      },
    );
  }
}
