import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { documentNames } from '../document-names';
import { writeDocument } from '../jobs/write-document';
import { planFor } from '../plans/plan';
import type { BudgetUnit } from '../tensornet/budget/budget-limits';
import { paretoFront } from '../tensornet/budget/pareto-front';
import { planProblem } from '../tensornet/budget/plan-under-budget';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';
import { readRemovable, readTable, sizeFields } from './budget-fields';
import { integer, list, path } from './fields';
import { defineOperation } from './operation';
import { actsOnlyWith } from './rules';

/** A plan of the front, and where it was written. */
type FrontPoint = Pick<CompressionPlan, 'remove' | 'narrow' | 'compress' | 'sumOfDistances'> & {
  readonly cost: number;
  /** Of the whole model's. */
  readonly share: number;
  readonly plan?: string;
};

interface Front {
  readonly unit: BudgetUnit;
  readonly before: number;
  readonly metric: string;
  /** From the dearest to the cheapest. */
  readonly points: readonly FrontPoint[];
}

export const pareto = defineOperation({
  id: 'pareto',
  title: 'List Pareto Front',
  verb: 'Listing plans of',
  summary:
    'List plans of all sizes that no other plan beats, by what was measured of single changes.',
  fields: {
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
    points: integer({ description: 'Plans to list at most', default: 12, min: 2 }),
    out: path({ description: 'Folder to write a plan for each point to', placeholder: 'DIR' }),
  },
  rules: [actsOnlyWith('context', 'unit', ['memory'])],
  result: v.looseObject({
    unit: v.string(),
    before: v.number(),
    points: v.array(v.looseObject({ cost: v.number(), sumOfDistances: v.number() })),
  }),
  trust: 'write',
  run: async ({ sensitivity, profile, methods, unit, context, points, out }): Promise<Front> => {
    const table = await readTable(sensitivity, methods);
    const removable = profile === undefined ? [] : await readRemovable(profile, table);
    // The limit is what the model has: the front goes from there to the smallest.
    const whole = { limits: [{ unit, most: Number.POSITIVE_INFINITY }], context };
    const plans = paretoFront(planProblem(table, whole, removable), points);
    if (out !== undefined) {
      await mkdir(out, { recursive: true });
    }
    const listed: FrontPoint[] = [];
    const shares = plans.map(({ cost, costBefore }) => cost / costBefore);
    const percentages = percentagesOf(shares);
    for (const [i, { remove, narrow, compress, cost, sumOfDistances }] of plans.entries()) {
      const share = shares[i] ?? 0;
      const changes = { remove, ...(narrow.length === 0 ? {} : { narrow }), compress };
      const name = `${unit}-${percentages[i] ?? ''}${documentNames.plan.suffix}`;
      const file = out === undefined ? undefined : resolve(join(out, name));
      if (file !== undefined) {
        await writeDocument(file, planFor(table.model, changes));
      }
      listed.push({
        ...{ cost, share, sumOfDistances, remove, narrow, compress },
        ...(file === undefined ? {} : { plan: file }),
      });
    }
    const before = plans[0]?.costBefore ?? 0;
    return { unit, before, metric: table.metric, points: listed };
  },
});

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
