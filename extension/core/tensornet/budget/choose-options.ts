import loadHighs from 'highs';
import { retryWhileBusy } from '../../jobs/time-limit';
import { UserError } from '../../user-error';
import { eachAlternative, totals, undominated } from './budget-problem';
import type {
  BudgetPart,
  BudgetProblem,
  BudgetSolution,
  LayerOption,
  PartChoice,
} from './budget-problem';
import { relaxedChoice } from './relaxed-choice';
import { say } from '../../message';

/** Relative gap between the solution and the best bound. */
const gap = 1e-6;
/**
 * Time limit in seconds of a processor that isn't busy, after which the best known solution is used. Layers of equal size make the proof of optimality
 * slow, and losses are only measured to a few percent.
 */
const defaultSeconds = 3;
/** Loaded with the first problem. */
let solver: ReturnType<typeof loadHighs> | undefined;
/** Coefficients are scaled to at most this value, to suit the solver's absolute tolerances. */
const scale = 1000;

/**
 * Chooses the states and options with the smallest sum of losses whose costs meet all limits: a multiple-choice
 * knapsack, solved as a mixed-integer program (HiGHS).
 * @throws UserError if the limits can't be met together
 */
export async function chooseOptions(
  problem: BudgetProblem,
  seconds = defaultSeconds,
): Promise<BudgetSolution> {
  const relaxed = relaxedChoice(problem);
  const solved: (readonly PartChoice[])[] = [];
  const alternatives = eachAlternative(problem);
  for (const { parts, choice } of alternatives) {
    const found = await runSolver({ ...problem, parts }, seconds / alternatives.length);
    solved.push(...(found === undefined ? [] : [choice(found)]));
  }
  const [best] = [...solved, ...(relaxed ? [relaxed] : [])]
    .map((choice) => ({ parts: choice, ...totals(problem, choice) }))
    .sort((a, b) => a.loss - b.loss);
  if (best === undefined) {
    throw new UserError(
      'limits-not-reachable',
      say`The measured options can't meet all limits together.`,
      {
        field: 'limits',
        remedy: say`Raise a limit, measure smaller settings or more methods, or allow removing sublayers.`,
      },
    );
  }
  return best;
}

/** Variables of the program: one option of one layer in one state, or a state. */
const stateName = (part: number, state: number): string => `y${part}_${state}`;
const optionName = (part: number, state: number, layer: number, option: number): string =>
  `x${part}_${state}_${layer}_${option}`;

async function runSolver(
  { parts, limits }: Pick<BudgetProblem, 'parts' | 'limits'>,
  seconds: number,
): Promise<readonly PartChoice[] | undefined> {
  const all = parts.flatMap(({ states }) => states.flatMap((one) => [one, ...one.layers.flat()]));
  const lossUnit = coefficientUnit(Math.max(...all.map(({ loss }) => Math.abs(loss))));
  const costUnits = limits.map(coefficientUnit);
  const names: string[] = [];
  const objective: string[] = [];
  const costs: string[][] = limits.map(() => []);
  const rows: string[] = [];
  const add = (name: string, { loss, costs: own }: LayerOption): string => {
    names.push(name);
    objective.push(term(loss / lossUnit, name));
    costs.forEach((row, i) => row.push(term((own[i] ?? 0) / (costUnits[i] ?? 1), name)));
    return name;
  };
  for (const [p, { states }] of parts.entries()) {
    const taken = states.map((state, s) => add(stateName(p, s), state));
    rows.push(` s${p}: ${taken.join(' + ')} = 1`);
    for (const [s, { layers }] of states.entries()) {
      for (const [l, options] of layers.entries()) {
        const left = undominated(options).map((index) =>
          add(optionName(p, s, l, index), options[index] ?? noOption),
        );
        rows.push(` c${p}_${s}_${l}: ${left.join(' + ')} - ${stateName(p, s)} = 0`);
      }
    }
  }
  const program = [
    'Minimize',
    ` loss: ${objective.join(' ')}`,
    'Subject To',
    ...costs.map(
      (row, i) => ` l${i}: ${row.join(' ')} <= ${(limits[i] ?? 0) / (costUnits[i] ?? 1)}`,
    ),
    ...rows,
    'Binary',
    ...names.map((name) => ` ${name}`),
    'End',
  ].join('\n');
  solver ??= loadHighs();
  const highs = await solver;
  const { Columns } = retryWhileBusy(
    1000 * seconds,
    (milliseconds) =>
      highs.solve(program, {
        ...{ output_flag: false, mip_rel_gap: gap, time_limit: milliseconds / 1000 },
      }),
    ({ Status }) => Status === 'Time limit reached',
  );
  const isTaken = (name: string): boolean => {
    const column = Columns[name];
    return column !== undefined && 'Primal' in column && column.Primal > 0.5;
  };
  const choices = parts.flatMap((part, p) => extractChoice(part, p, isTaken) ?? []);
  return choices.length === parts.length ? choices : undefined;
}

const noOption: LayerOption = { costs: [], loss: 0 };

/** Choice for a part in a solution; undefined if the solution isn't integral. */
function extractChoice(
  { states }: BudgetPart,
  part: number,
  isTaken: (name: string) => boolean,
): PartChoice | undefined {
  const state = states.findIndex((_, s) => isTaken(stateName(part, s)));
  const options = (states[state]?.layers ?? []).map((layer, l) =>
    layer.findIndex((_, option) => isTaken(optionName(part, state, l, option))),
  );
  return state < 0 || options.some((option) => option < 0) ? undefined : { state, options };
}

/** Unit that scales `largest` to the maximum coefficient; 1 if it is 0. */
function coefficientUnit(largest: number): number {
  return largest > 0 ? largest / scale : 1;
}

/** Signed term of a linear expression in CPLEX LP format. */
function term(factor: number, name: string): string {
  return `${factor < 0 ? '-' : '+'} ${Math.abs(factor)} ${name}`;
}
