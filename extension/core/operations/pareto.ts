import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { documentNames } from '../document-names';
import { writeDocument } from '../jobs/write-document';
import { planFor } from '../plans/plan';
import type { BudgetUnit } from '../tensornet/budget/budget-limits';
import { paretoFront, reachOf } from '../tensornet/budget/pareto-front';
import type { Reach } from '../tensornet/budget/pareto-front';
import { planProblem } from '../tensornet/budget/plan-under-budget';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';
import type { SensitivityProfile } from '../tensornet/sensitivity/sensitivity-profile';
import {
  asWide,
  budgetOf,
  contextRule,
  readRemovable,
  readTable,
  sizeFields,
} from './budget-fields';
import { flag, integer, list, path } from './fields';
import type { RequestOf } from './fields';
import { defineOperation } from './operation';

/** A plan of the front, and where it was written. */
export type FrontPoint = Pick<
  CompressionPlan,
  'remove' | 'narrow' | 'compress' | 'sumOfDistances'
> & {
  readonly cost: number;
  /** Of the whole model's. */
  readonly share: number;
  readonly plan?: string;
};

export interface Front {
  readonly unit: BudgetUnit;
  readonly before: number;
  readonly metric: string;
  /** In every unit, by itself. */
  readonly reach: readonly Reach[];
  /** From the dearest to the cheapest. */
  readonly points: readonly FrontPoint[];
}

const fields = {
  sensitivity: path({
    description: 'A *.sensitivity.json of the model',
    placeholder: 'SENSITIVITY',
    positional: true,
    required: true,
  }),
  methods: list({
    description: 'Methods of the profile that plans may use',
    fallback: 'all',
    placeholder: 'METHOD,…',
  }),
  ...sizeFields,
  blocksOnly: flag({
    description: 'Leave embedding and head as they are',
    default: false,
  }),
  points: integer({ description: 'Plans to list at most', default: 12, min: 2 }),
  out: path({ description: 'Folder to write a plan for each point to', placeholder: 'DIR' }),
};

export const pareto = defineOperation({
  id: 'pareto',
  title: 'List Pareto Front',
  verb: 'Listing plans of',
  summary:
    'List plans of all sizes that no other plan beats, by what was measured of single changes.',
  fields,
  rules: [contextRule],
  result: v.looseObject({
    unit: v.string(),
    before: v.number(),
    points: v.array(v.looseObject({ cost: v.number(), sumOfDistances: v.number() })),
  }),
  trust: 'write',
  run: async (request): Promise<Front> => {
    const { out, unit } = request;
    const { model, points, ...front } = await frontOf(request);
    if (out === undefined) {
      return { ...front, points };
    }
    await mkdir(out, { recursive: true });
    const percentages = percentagesOf(points.map(({ share }) => share));
    const written: FrontPoint[] = [];
    for (const [i, point] of points.entries()) {
      const { remove, narrow, compress } = point;
      const changes = { remove, ...(narrow.length === 0 ? {} : { narrow }), compress };
      const name = `${unit}-${percentages[i] ?? ''}${documentNames.plan.suffix}`;
      const plan = resolve(join(out, name));
      await writeDocument(plan, planFor(model, changes));
      written.push({ ...point, plan });
    }
    return { ...front, points: written };
  },
});

/**
 * The front of a request, without writing it.
 * @throws UserError where a profile cannot be read, or no plan keeps the limits.
 */
export async function frontOf(
  request: Omit<RequestOf<typeof fields>, 'out'>,
): Promise<Front & Pick<SensitivityProfile, 'model'>> {
  const { profile, blocksOnly, points, unit } = request;
  const { outer, ...blocks } = asWide(
    await readTable(request.sensitivity, request.methods),
    request,
  );
  const table = blocksOnly || outer === undefined ? blocks : { ...blocks, outer };
  const removable = profile === undefined ? [] : await readRemovable(profile, table);
  const { limits, context } = budgetOf(request);
  // The first limit is what the model has: the front goes from there to the smallest.
  const whole = { limits: [{ unit, most: Number.POSITIVE_INFINITY }, ...limits], context };
  const plans = paretoFront(planProblem(table, whole, removable), points);
  const { model, metric } = table;
  return {
    ...{ model, unit, metric },
    before: plans[0]?.costBefore ?? 0,
    reach: reachOf(table, context, removable),
    points: plans.map(({ remove, narrow, compress, cost, costBefore, sumOfDistances }) => ({
      ...{ cost, share: cost / costBefore, sumOfDistances, remove, narrow, compress },
    })),
  };
}

/** Most digits behind the point that names of plans take. */
const mostDigits = 6;

/** Shares in percent, with as many digits as it takes to tell them apart. */
function percentagesOf(shares: readonly number[]): string[] {
  const at = (digits: number): string[] => shares.map((share) => (100 * share).toFixed(digits));
  let digits = 1;
  while (digits < mostDigits && new Set(at(digits)).size < shares.length) {
    digits++;
  }
  return at(digits);
}
