import { totals } from './budget-problem';
import type { BudgetSolution, PartChoice } from './budget-problem';
import { planOf } from './plan-under-budget';
import type { CompressionPlan, PlannedProblem } from './plan-under-budget';
import { cheapestAt } from './relaxed-choice';

/** Prices that are tried, evenly spaced by their logarithms over so many powers of ten. */
const prices = 400;
const decades = 12;

/**
 * Plans of which none costs less of the first limit's unit at no higher sum of distances, from the dearest to the
 * cheapest and at most `most`: the lower convex hull, by sweeping the price of a unit of cost. Nothing is measured.
 */
export function paretoFront(problem: PlannedProblem, most: number): CompressionPlan[] {
  const found = new Map<number, BudgetSolution>();
  const add = (parts: readonly PartChoice[]): void => {
    const solution = { parts, ...totals(problem, parts) };
    const [cost = 0] = solution.costs;
    const known = found.get(cost);
    if (known === undefined || solution.loss < known.loss) {
      found.set(cost, solution);
    }
  };
  const others = problem.limits.slice(1).map(() => 0);
  const all = problem.parts.flatMap(({ states }) => states);
  const losses = all.flatMap(({ loss, layers }) => [loss, ...layers.flat().map((one) => one.loss)]);
  // At this price, all of the model is worth as much as the worst single change.
  const middle = Math.max(...losses) / (problem.before[0] ?? 1);
  for (let i = 0; i <= prices; i++) {
    const price = middle * 10 ** ((i / prices - 0.5) * decades);
    add(cheapestAt(problem, [price, ...others]));
  }
  const sorted = [...found.values()].sort((a, b) => (b.costs[0] ?? 0) - (a.costs[0] ?? 0));
  return spread(sorted, most).map((solution) => planOf(problem, solution));
}

/** The first, the last, and those whose costs are nearest to equal steps between. */
function spread(sorted: readonly BudgetSolution[], most: number): BudgetSolution[] {
  const costOf = (solution: BudgetSolution | undefined): number => solution?.costs[0] ?? 0;
  const [first, last] = [costOf(sorted[0]), costOf(sorted.at(-1))];
  const chosen = new Set<BudgetSolution>();
  for (let i = 0; i < most; i++) {
    const aim = first + ((last - first) * i) / Math.max(1, most - 1);
    const [nearest] = [...sorted].sort(
      (a, b) => Math.abs(costOf(a) - aim) - Math.abs(costOf(b) - aim),
    );
    if (nearest !== undefined) {
      chosen.add(nearest);
    }
  }
  return sorted.filter((solution) => chosen.has(solution));
}
