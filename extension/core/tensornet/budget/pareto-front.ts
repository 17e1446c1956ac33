import { leastCost, slack, totals } from './budget-problem';
import type { BudgetSolution } from './budget-problem';
import { countedUnits } from './budget-limits';
import type { BudgetUnit } from './budget-limits';
import { toPlan, planProblem } from './plan-under-budget';
import type { CompressionPlan, PlannedProblem, RemovalCost } from './plan-under-budget';
import type { SensitivityProfile } from '../sensitivity/sensitivity-profile';
import { relaxedChoice } from './relaxed-choice';

/** Rounds of price search per plan; few, since many plans are computed while a slider moves. */
const rounds = 1;

/**
 * Plans on the Pareto front of the first limit's unit and the sum of distances, within all other limits: from the most
 * expensive to the cheapest, at most `most` plans, in equal steps of cost. Measures nothing.
 */
export function paretoFront(problem: PlannedProblem, most: number): CompressionPlan[] {
  const { limits, before, fixed } = problem;
  const whole = (before[0] ?? 0) - (fixed[0] ?? 0);
  const least = leastCost(problem, 0);
  const found = Array.from({ length: most }, (_, i): BudgetSolution[] => {
    const size = whole + ((least - whole) * i) / Math.max(1, most - 1);
    const sized = { ...problem, limits: [size * slack, ...limits.slice(1)] };
    const choice = relaxedChoice(sized, rounds);
    return choice === undefined ? [] : [{ parts: choice, ...totals(problem, choice) }];
  }).flat();
  return unbeaten(found).map((solution) => toPlan(problem, solution));
}

/** Solutions on the Pareto front, from the most expensive to the cheapest. */
function unbeaten(found: readonly BudgetSolution[]): BudgetSolution[] {
  const firstCost = ({ costs: [cost = 0] }: BudgetSolution): number => cost;
  const sorted = [...found].sort((a, b) => firstCost(a) - firstCost(b) || a.loss - b.loss);
  let least = Number.POSITIVE_INFINITY;
  const front = sorted.filter(({ loss }) => {
    const isBetter = loss < least;
    least = Math.min(least, loss);
    return isBetter;
  });
  return front.reverse();
}

/** Range of a model's cost in a unit. */
export interface Reach {
  readonly unit: BudgetUnit;
  /** Cost of the original model. */
  readonly before: number;
  /** Cost of the cheapest choice. */
  readonly least: number;
}

/** Range in every unit that a profile can count. */
export function costRanges(
  table: SensitivityProfile,
  context: number | undefined,
  removable: readonly RemovalCost[],
): Reach[] {
  const units = countedUnits(table);
  const limits = units.map((unit) => ({ unit, most: Number.POSITIVE_INFINITY }));
  const problem = planProblem(table, { limits, context }, removable);
  const { fixed, before } = problem;
  return units.map((unit, i) => ({
    unit,
    before: before[i] ?? 0,
    least: (fixed[i] ?? 0) + leastCost(problem, i),
  }));
}
