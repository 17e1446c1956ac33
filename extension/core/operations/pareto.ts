import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as v from 'valibot';
import { documentNames } from '../document-names';
import { scorePlans } from '../evaluate/score-plans';
import type { PlanScore, PlanScores } from '../evaluate/score-plans';
import { planFor, plannedChanges } from '../plans/plan';
import type { BudgetUnit } from '../tensornet/budget/budget-limits';
import { paretoFront, costRanges } from '../tensornet/budget/pareto-front';
import type { Reach } from '../tensornet/budget/pareto-front';
import { planProblem } from '../tensornet/budget/plan-under-budget';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';
import { profileCalibration } from '../tensornet/sensitivity/sensitivity-profile';
import type { SensitivityProfile } from '../tensornet/sensitivity/sensitivity-profile';
import {
  withoutWidthsUnlessKept,
  compressionBudget,
  contextRule,
  readRemovable,
  readTable,
  sizeFields,
} from './budget-fields';
import { document, flag, group, integer, list, path } from './fields';
import type { RequestOf } from './fields';
import { shotsFields, shotsRequest, shotsRules } from './requirement-fields';
import { operationJournal, ownFolder } from './journals';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { writePlan } from './output-file';
import type { ScoredFront } from './presentation';
import { allNeed } from './rules';
import { runFields, runOptions } from './shared-fields';
import { countPhrase } from './outcomes';
import { say } from '../message';

/** Plan on the Pareto front, with its path. */
export type FrontPoint = Pick<
  CompressionPlan,
  'remove' | 'widths' | 'compress' | 'types' | 'byImportance' | 'sumOfDistances'
> & {
  readonly cost: number;
  /** Fraction of the original model's cost. */
  readonly share: number;
  readonly plan?: string;
  /** Score on the requested task. */
  readonly score?: PlanScore;
};

/** Pareto front of plans. */
export interface Front {
  readonly unit: BudgetUnit;
  readonly before: number;
  readonly metric: string;
  /** Reach in each unit separately. */
  readonly reach: readonly Reach[];
  /** In order of decreasing cost. */
  readonly points: readonly FrontPoint[];
  /** Score of the original on the request's task. */
  readonly score?: PlanScores['original'];
}

const fields = {
  sensitivity: document('sensitivity', {
    description: 'A *.sensitivity.json of the model',
    placeholder: 'SENSITIVITY',
    positional: true,
    required: true,
  }),
  methods: list({
    description: 'Methods of the profile to use',
    fallback: 'all',
    placeholder: 'METHOD,…',
  }),
  ...sizeFields,
  blocksOnly: flag({
    description: 'Leave embedding and head unchanged',
    default: false,
  }),
  points: integer({ description: 'Maximum number of plans to list', default: 12, min: 2 }),
  out: path({ description: 'Folder for a plan of each point', placeholder: 'DIR' }),
  ...group('Task', {
    task: path({ description: "Measure the accuracy of each plan's model on a task (.jsonl)" }),
    ...shotsFields,
    model: path({
      description: 'The model of the profile, to run on the task',
      fallback: 'the path in the profile',
      placeholder: 'MODEL',
    }),
  }),
  ...runFields,
};

const journal = operationJournal('pareto');

export const pareto = defineOperation({
  id: 'pareto',
  title: 'List Pareto Front',
  verb: 'Comparing plans of',
  summary: 'List the best plans of all sizes, predicted from single changes.',
  group: 'shrink',
  fields,
  rules: [contextRule, allNeed(['model', 'device', 'memory'], 'task'), ...shotsRules],
  result: v.looseObject({
    unit: v.string(),
    before: v.number(),
    points: v.array(
      v.looseObject({
        cost: v.number(),
        sumOfDistances: v.number(),
        score: v.optional(v.looseObject({ acc: v.number(), accError: v.number() })),
      }),
    ),
    score: v.optional(v.looseObject({ acc: v.number(), accError: v.number() })),
  }),
  trust: 'write',
  writesNextTo: ['plan'],
  resume: ({ sensitivity, task }) =>
    task === undefined ? [] : journal.path(undefined, sensitivity),
  run: async (request, context): Promise<Front> => {
    const { out, unit, task } = request;
    const table = await readTable(request.sensitivity, request.methods);
    const made = await computeFrontFromTable(table, request);
    const { points, ...front } =
      task === undefined ? made : await scored(made, table, { ...request, task }, context);
    if (out === undefined) {
      return { ...front, points };
    }
    await mkdir(out, { recursive: true });
    const percentages = formatPercentages(points.map(({ share }) => share));
    const written: FrontPoint[] = [];
    for (const [i, point] of points.entries()) {
      const name = `${unit}-${percentages[i] ?? ''}${documentNames.plan.suffix}`;
      const plan = resolve(join(out, name));
      await writePlan(plan, planFor(table.model, plannedChanges(point)));
      written.push({ ...point, plan });
    }
    return { ...front, points: written };
  },
  presentation: {
    panel: 'compression',
    jobName: say`Measuring task scores`,
    document: 'sensitivity',
    updates: (front, { sensitivity }) => [
      { kind: 'planScores', sensitivity, scores: scoredFront(front) },
    ],
    outcome: ({ points, score }) => {
      const plans = countPhrase(points.length, 'plan');
      return {
        summary:
          score === undefined
            ? say`Listed ${plans}.`
            : say`Measured the score of ${plans} on ${score.task} (${countPhrase(score.examples, 'example')}).`,
        shown: true,
      };
    },
  },
});

/**
 * Computes the front of a request, without writing plans.
 * @throws UserError if a profile cannot be read, or no plan keeps the limits.
 */
export async function computeFront(request: FrontRequest): Promise<Front> {
  return computeFrontFromTable(await readTable(request.sensitivity, request.methods), request);
}

export type FrontRequest = Omit<RequestOf<typeof fields>, 'out'>;

async function computeFrontFromTable(
  known: SensitivityProfile,
  request: FrontRequest,
): Promise<Front> {
  const { profile, blocksOnly, points, unit } = request;
  const { embeddingAndHead, ...blocks } = withoutWidthsUnlessKept(known, request);
  const table =
    blocksOnly || embeddingAndHead === undefined ? blocks : { ...blocks, embeddingAndHead };
  const removable = profile === undefined ? [] : await readRemovable(profile, table);
  const { limits, context } = compressionBudget(request);
  // The front extends from the model's own cost to the smallest limit.
  const whole = { limits: [{ unit, most: Number.POSITIVE_INFINITY }, ...limits], context };
  const { model, metric } = table;
  // Without any sublayer there is no model.
  const plans = paretoFront(planProblem(table, whole, removable), points).filter(
    ({ remove }) => !model.sublayers.every(({ id }) => remove.includes(id)),
  );
  return {
    ...{ unit, metric },
    before: plans[0]?.costBefore ?? 0,
    reach: costRanges(table, context, removable),
    points: plans.map(({ remove, widths, compress, types, byImportance, ...plan }) => ({
      ...{ cost: plan.cost, share: plan.cost / plan.costBefore },
      ...{ sumOfDistances: plan.sumOfDistances, remove, widths, compress },
      ...(types === undefined ? {} : { types }),
      ...(byImportance === undefined ? {} : { byImportance }),
    })),
  };
}

/** Front with task scores of its plans. */
async function scored(
  front: Front,
  table: SensitivityProfile,
  request: RequestOf<typeof fields> & { readonly task: string },
  context: OperationContext,
): Promise<Front> {
  const { task, sensitivity } = request;
  const { open, samples, version } = context.environment;
  const model = await open(request.model ?? resolve(dirname(sensitivity), table.model.path));
  const file = await journal.prepare(undefined, sensitivity);
  const { original, scores } = await scorePlans(
    front.points,
    {
      ...{ model, table, task, journal: file, version },
      ...shotsRequest(request),
      calibration: profileCalibration(table),
      bundledText: join(samples, 'calibration.txt'),
      folder: await ownFolder(file, 'forms'),
      ...runOptions(request),
    },
    context,
  );
  const points = front.points.map((point, i) => {
    const score = scores[i];
    return score === undefined ? point : { ...point, score };
  });
  return { ...front, points, score: original };
}

/** Maximum number of decimals in names of plans. */
const mostDigits = 6;

/** Formats shares in percent with enough digits to distinguish them. */
function formatPercentages(shares: readonly number[]): string[] {
  const at = (digits: number): string[] => shares.map((share) => (100 * share).toFixed(digits));
  let digits = 1;
  while (digits < mostDigits && new Set(at(digits)).size < shares.length) {
    digits++;
  }
  return at(digits);
}

/** Points of a front with their scores; undefined if they were not run on a task. */
function scoredFront({ unit, points, score: original }: Front): ScoredFront | undefined {
  return original === undefined
    ? undefined
    : {
        ...{ unit, original },
        points: points.flatMap(({ cost, sumOfDistances, score }) =>
          score === undefined
            ? []
            : [{ cost, sumOfDistances, acc: score.acc, accError: score.accError }],
        ),
      };
}
