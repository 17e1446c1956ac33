import type { LimitKept } from './plan-under-budget';

/** The planned cost of a plan, and the measured one. */
export interface TimedCost {
  readonly planned: number;
  readonly found: number;
}

/** Bounds of the next planned saving, as shares of the last one: a single time may be far off. */
const [leastStep, mostStep] = [0.5, 2] as const;

/**
 * The cost to plan for next, so that the measured one meets the limit: interpolated between the nearest plans on both
 * sides of it, or else in proportion to what the last plan saved.
 */
export function nextTarget(
  { before, most }: Pick<LimitKept, 'before' | 'most'>,
  costs: readonly TimedCost[],
): number {
  const [under, over] = [
    nearest(costs.filter(({ found }) => found <= most).map((one) => [most - one.found, one])),
    nearest(costs.filter(({ found }) => found > most).map((one) => [one.found - most, one])),
  ];
  if (under !== undefined && over !== undefined) {
    const part = (most - under.found) / (over.found - under.found);
    return under.planned + part * (over.planned - under.planned);
  }
  const last = costs.at(-1);
  if (last === undefined) {
    return most;
  }
  const planned = before - last.planned;
  const saved = Math.max(before - last.found, Number.EPSILON);
  const toSave = ((before - most) * planned) / saved;
  return before - Math.min(mostStep * planned, Math.max(leastStep * planned, toSave));
}

function nearest(
  costs: readonly (readonly [distance: number, cost: TimedCost])[],
): TimedCost | undefined {
  return [...costs].sort(([one], [other]) => one - other)[0]?.[1];
}
