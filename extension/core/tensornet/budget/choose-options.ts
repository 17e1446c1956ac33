import loadHighs from 'highs';
import { UserError } from '../../user-error';
import { relaxedChoice } from './relaxed-choice';
import type { BudgetProblem, BudgetSolution, LayerOption } from './budget-problem';
import { say } from '../../message';

/** Relative gap between the solution and the best bound. */
const gap = 1e-6;
/**
 * Seconds after which the best known is taken. Layers of equal size make the last digits of the proof slow, and
 * losses are measured to some per cent only.
 */
const defaultSeconds = 3;
/** Loaded with the first problem. */
let solver: ReturnType<typeof loadHighs> | undefined;
/** Numbers are scaled to at most this, so that the solver's absolute tolerances suit them. */
const scale = 1000;

/**
 * Takes the options with the smallest sum of losses whose costs stay within the budget: a
 * multiple-choice knapsack, as a mixed-integer program (HiGHS).
 * @throws UserError where even the cheapest options cost more than the budget.
 */
export async function chooseOptions(
  problem: BudgetProblem,
  seconds = defaultSeconds,
): Promise<BudgetSolution> {
  const { layers, sublayers, budget } = problem;
  const least = cheapest(problem);
  if (least > budget) {
    throw new UserError(
      say`The smallest that the measured options allow is ${least.toPrecision(4)}, above the budget of ${budget.toPrecision(4)}.`,
      {
        field: 'budget',
        remedy: say`Choose a larger budget, measure smaller settings or more methods, or allow removing sublayers.`,
      },
    );
  }
  const choices = layers.map(({ options }) => undominated(options));
  const losses = [...choices.flat(), ...sublayers].map(({ loss }) => loss);
  const lossUnit = unitOf(Math.max(...losses.map(Math.abs)));
  const costUnit = unitOf(budget);
  const names: string[] = [];
  const objective: string[] = [];
  const costs: string[] = [];
  const add = (name: string, loss: number, cost: number): string => {
    names.push(name);
    objective.push(term(loss / lossUnit, name));
    costs.push(term(cost / costUnit, name));
    return name;
  };
  const removals = sublayers.map(({ loss, cost }, i) => add(`r${i}`, loss, -cost));
  const rows = layers.map(({ sublayer }, i) => {
    const taken = (choices[i] ?? []).map(({ index, loss, cost }) =>
      add(`x${i}_${index}`, loss, cost),
    );
    const gone = sublayer === undefined ? [] : [removals[sublayer] ?? ''];
    return ` c${i}: ${[...taken, ...gone].join(' + ')} = 1`;
  });
  const fixed = sublayers.reduce((sum, { cost }) => sum + cost, 0);
  const program = [
    'Minimize',
    ` loss: ${objective.join(' ')}`,
    'Subject To',
    ` budget: ${costs.join(' ')} <= ${(budget - fixed) / costUnit}`,
    ...rows,
    'Binary',
    ...names.map((name) => ` ${name}`),
    'End',
  ].join('\n');
  solver ??= loadHighs();
  const highs = await solver;
  const { Columns } = highs.solve(program, {
    ...{ output_flag: false, mip_rel_gap: gap, time_limit: seconds },
  });
  const isTaken = (name: string): boolean => {
    const column = Columns[name];
    return column !== undefined && 'Primal' in column && column.Primal > 0.5;
  };
  const removed = sublayers.flatMap((_, i) => (isTaken(`r${i}`) ? [i] : []));
  const options = layers.map(
    (_, i) => choices[i]?.find(({ index }) => isTaken(`x${i}_${index}`))?.index,
  );
  const isWhole = layers.every(
    ({ sublayer }, i) =>
      options[i] !== undefined || (sublayer !== undefined && removed.includes(sublayer)),
  );
  const relaxed = relaxedChoice(problem);
  const [best] = [...(isWhole ? [{ options, removed }] : []), ...(relaxed ? [relaxed] : [])]
    .map((choice) => ({ ...choice, ...totals(problem, choice.options, choice.removed) }))
    .sort((a, b) => a.loss - b.loss);
  if (best === undefined) {
    throw new Error('no choice keeps the budget, though the cheapest would');
  }
  return best;
}

/** Sums over a solution; sublayers that stay cost what they have besides their linear layers. */
export function totals(
  { layers, sublayers }: BudgetProblem,
  options: readonly (number | undefined)[],
  removed: readonly number[],
): { readonly cost: number; readonly loss: number } {
  let [cost, loss] = [0, 0];
  layers.forEach((layer, i) => {
    const option = layer.options[options[i] ?? -1];
    cost += option?.cost ?? 0;
    loss += option?.loss ?? 0;
  });
  sublayers.forEach((sublayer, i) => {
    if (removed.includes(i)) {
      loss += sublayer.loss;
    } else {
      cost += sublayer.cost;
    }
  });
  return { cost, loss };
}

/** The least that any choice costs: what may be removed costs nothing. */
function cheapest({ layers }: BudgetProblem): number {
  return layers
    .filter(({ sublayer }) => sublayer === undefined)
    .reduce((sum, { options }) => sum + Math.min(...options.map(({ cost }) => cost)), 0);
}

/** Options of which no other costs less or as much and loses less. */
function undominated(
  options: readonly LayerOption[],
): (LayerOption & { readonly index: number })[] {
  const sorted = options
    .map((option, index) => ({ ...option, index }))
    .sort((a, b) => a.cost - b.cost || a.loss - b.loss);
  let best = Number.POSITIVE_INFINITY;
  return sorted.filter(({ loss }) => {
    const isBetter = loss < best;
    best = Math.min(best, loss);
    return isBetter;
  });
}

/** What makes `largest` as large as numbers are to be; 1 where it is nothing. */
function unitOf(largest: number): number {
  return largest > 0 ? largest / scale : 1;
}

/** A signed term of a linear expression in CPLEX LP form. */
function term(factor: number, name: string): string {
  return `${factor < 0 ? '-' : '+'} ${Math.abs(factor)} ${name}`;
}
