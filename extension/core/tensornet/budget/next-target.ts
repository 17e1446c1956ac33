import type { LimitKept } from './plan-under-budget';

/** What a plan was to take of a limit, and took when it was timed. */
export interface TimedCost {
  readonly planned: number;
  readonly found: number;
}

/** Bounds of what is to be saved next, as shares of what the last plan was to save: a single time may be far off. */
const [leastStep, mostStep] = [0.5, 2] as const;

/**
 * What the next plan is to take, so that it really takes as much as it may: on the line between the plans that are next to
 * the limit on both sides, or else in proportion to what the last one saved.
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
