import type { JobContext } from '../../jobs/job';
import { chooseOptions } from './choose-options';
import type { BudgetSolution, LayerOption } from './budget-problem';
import { planOf } from './plan-under-budget';
import type { CompressionBudget, CompressionPlan, PlannedProblem } from './plan-under-budget';
import type { PlanMeasurement } from './plan-measurer';
import { say } from '../../message';

/** A plan that has been measured as a whole. */
export interface RefinedPlan extends CompressionPlan {
  /** Distance of the model with all changes to the original. */
  readonly distance: number;
  /** That of every plan tried, the first being the one by the table alone. */
  readonly tried: readonly number[];
}

/** What a plan under a budget says of itself. */
export function planNote(
  { distance, tried }: Pick<RefinedPlan, 'distance' | 'tried'>,
  { ratio, unit }: CompressionBudget,
  metric: string,
): string {
  return `budget ${ratio} of ${unit}, ${metric} ${distance.toPrecision(4)}, best of ${tried.length} plans measured`;
}

export type MeasurePlan = (plan: CompressionPlan, inTurn: boolean) => Promise<PlanMeasurement>;

/** Bounds of how much more or less a change is taken to cost among the others than alone. */
const [leastFactor, mostFactor] = [0.1, 10] as const;

/**
 * Chooses under a budget by losses that are measured where they count: after each choice every change
 * is taken back in turn, in the model with all the others; its losses in the table are multiplied by
 * what that shows, and the choice is made anew. The best plan by real measurement is kept.
 */
export async function refinePlan(
  problem: PlannedProblem,
  measure: MeasurePlan,
  rounds: number,
  context: Pick<JobContext, 'progress'>,
): Promise<RefinedPlan> {
  let current: PlannedProblem = problem;
  let best: Omit<RefinedPlan, 'tried'> | undefined;
  const tried: number[] = [];
  const seen = new Set<string>();
  for (let round = 0; round <= rounds; round++) {
    context.progress({
      stage: say`Choosing under the budget`,
      done: round,
      total: rounds + 1,
      unit: 'steps',
    });
    const solution = await chooseOptions(current);
    const key = JSON.stringify([solution.options, solution.removed]);
    if (seen.has(key)) {
      break;
    }
    seen.add(key);
    const plan = planOf(problem, solution);
    const measured = await measure(plan, round < rounds);
    tried.push(measured.distance);
    if (best === undefined || measured.distance < best.distance) {
      best = { ...plan, distance: measured.distance };
    }
    current = reweighed(current, solution, measured);
  }
  return { ...(best ?? noPlan()), tried };
}

/**
 * The problem with the losses of what was chosen as they are among the other changes; what was not is
 * taken to change as those do in the median.
 */
function reweighed(
  problem: PlannedProblem,
  solution: BudgetSolution,
  { distance, without }: PlanMeasurement,
): PlannedProblem {
  const factorOf = (id: string, loss: number): number | undefined => {
    const other = without.get(id);
    return other === undefined || loss <= 0
      ? undefined
      : Math.min(mostFactor, Math.max(leastFactor, (distance - other) / loss));
  };
  const ofLayers = problem.layers.map(({ options }, i) =>
    factorOf(problem.matrices[i]?.tensor ?? '', options[solution.options[i] ?? 0]?.loss ?? 0),
  );
  const ofSublayers = problem.sublayers.map(({ loss }, i) =>
    solution.removed.includes(i) ? factorOf(problem.removable[i]?.sublayer ?? '', loss) : undefined,
  );
  const usual = median([...ofLayers, ...ofSublayers].flatMap((factor) => factor ?? []));
  const layers = problem.layers.map((layer, i) => ({
    ...layer,
    options: layer.options.map(({ cost, loss }): LayerOption => ({
      cost,
      loss: loss * (ofLayers[i] ?? usual),
    })),
  }));
  const sublayers = problem.sublayers.map(({ cost, loss }, i) => ({
    cost,
    loss: loss * (ofSublayers[i] ?? usual),
  }));
  return { ...problem, layers, sublayers };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 1;
}

function noPlan(): never {
  throw new Error('no plan has been measured');
}
