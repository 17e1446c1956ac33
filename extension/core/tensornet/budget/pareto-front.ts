import { leastCost, slack, totals } from './budget-problem';
import type { BudgetSolution } from './budget-problem';
import { countedUnits } from './budget-limits';
import type { BudgetUnit } from './budget-limits';
import { planOf, planProblem } from './plan-under-budget';
import type { CompressionPlan, PlannedProblem, RemovalCost } from './plan-under-budget';
import type { SensitivityProfile } from '../sensitivity/sensitivity-profile';
import { relaxedChoice } from './relaxed-choice';

/** Of setting prices: many plans are wanted at once, while a slider moves. */
const rounds = 1;

/**
 * Plans that keep all limits but the first. No plan that costs less of the first's unit has as low a sum of
 * distances: from the dearest to the cheapest, at most `most`, in equal steps of cost. Nothing is measured.
 */
export function paretoFront(problem: PlannedProblem, most: number): CompressionPlan[] {
  const { parts, limits, before, fixed } = problem;
  const whole = (before[0] ?? 0) - (fixed[0] ?? 0);
  const least = leastCost(parts, 0);
  const found = Array.from({ length: most }, (_, i): BudgetSolution[] => {
    const size = whole + ((least - whole) * i) / Math.max(1, most - 1);
    const choice = relaxedChoice({ parts, limits: [size * slack, ...limits.slice(1)] }, rounds);
    return choice === undefined ? [] : [{ parts: choice, ...totals(problem, choice) }];
  }).flat();
  return unbeaten(found).map((solution) => planOf(problem, solution));
}

/** Those that no other beats, from the dearest to the cheapest. */
function unbeaten(found: readonly BudgetSolution[]): BudgetSolution[] {
  const costOf = ({ costs: [cost = 0] }: BudgetSolution): number => cost;
  const sorted = [...found].sort((a, b) => costOf(a) - costOf(b) || a.loss - b.loss);
  let least = Number.POSITIVE_INFINITY;
  const kept = sorted.filter(({ loss }) => {
    const isBetter = loss < least;
    least = Math.min(least, loss);
    return isBetter;
  });
  return kept.reverse();
}

/** How far a model's cost can go down in a unit, whatever else. */
export interface Reach {
  readonly unit: BudgetUnit;
  /** Of the whole model. */
  readonly before: number;
  /** Of the cheapest choice. */
  readonly least: number;
}

/** The reach in every unit that a table can count. */
export function reachOf(
  table: SensitivityProfile,
  context: number | undefined,
  removable: readonly RemovalCost[],
): Reach[] {
  const units = countedUnits(table);
  const limits = units.map((unit) => ({ unit, most: Number.POSITIVE_INFINITY }));
  const { parts, fixed, before } = planProblem(table, { limits, context }, removable);
  return units.map((unit, i) => ({
    unit,
    before: before[i] ?? 0,
    least: (fixed[i] ?? 0) + leastCost(parts, i),
  }));
}
