import loadHighs from 'highs';
import { UserError } from '../../user-error';
import { totals, undominated } from './budget-problem';
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
 * Seconds after which the best known is taken. Layers of equal size make the last digits of the proof slow, and
 * losses are measured to some per cent only.
 */
const defaultSeconds = 3;
/** Loaded with the first problem. */
let solver: ReturnType<typeof loadHighs> | undefined;
/** Numbers are scaled to at most this, so that the solver's absolute tolerances suit them. */
const scale = 1000;

/**
 * Takes the states and options with the smallest sum of losses whose costs stay within all limits: a
 * multiple-choice knapsack, as a mixed-integer program (HiGHS).
 * @throws UserError where the limits cannot be kept together.
 */
export async function chooseOptions(
  problem: BudgetProblem,
  seconds = defaultSeconds,
): Promise<BudgetSolution> {
  const relaxed = relaxedChoice(problem);
  const solved = await solve(problem, seconds);
  const [best] = [...(solved ? [solved] : []), ...(relaxed ? [relaxed] : [])]
    .map((choice) => ({ parts: choice, ...totals(problem, choice) }))
    .sort((a, b) => a.loss - b.loss);
  if (best === undefined) {
    throw new UserError(say`The measured options can't keep all limits together.`, {
      field: 'limits',
      remedy: say`Raise a limit, measure smaller settings or more methods, or allow removing sublayers.`,
    });
  }
  return best;
}

/** A variable of the program: one option of one layer in one state, or a state. */
const stateName = (part: number, state: number): string => `y${part}_${state}`;
const optionName = (part: number, state: number, layer: number, option: number): string =>
  `x${part}_${state}_${layer}_${option}`;

async function solve(
  problem: BudgetProblem,
  seconds: number,
): Promise<readonly PartChoice[] | undefined> {
  const { parts, limits } = problem;
  const all = parts.flatMap(({ states }) => states.flatMap((one) => [one, ...one.layers.flat()]));
  const lossUnit = unitOf(Math.max(...all.map(({ loss }) => Math.abs(loss))));
  const costUnits = limits.map(unitOf);
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
  const { Columns } = highs.solve(program, {
    ...{ output_flag: false, mip_rel_gap: gap, time_limit: seconds },
  });
  const isTaken = (name: string): boolean => {
    const column = Columns[name];
    return column !== undefined && 'Primal' in column && column.Primal > 0.5;
  };
  const choices = parts.flatMap((part, p) => choiceOf(part, p, isTaken) ?? []);
  return choices.length === parts.length ? choices : undefined;
}

const noOption: LayerOption = { costs: [], loss: 0 };

/** What a solution takes of a part; undefined where it is not whole. */
function choiceOf(
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

/** What makes `largest` as large as numbers are to be; 1 where it is nothing. */
function unitOf(largest: number): number {
  return largest > 0 ? largest / scale : 1;
}

/** A signed term of a linear expression in CPLEX LP form. */
function term(factor: number, name: string): string {
  return `${factor < 0 ? '-' : '+'} ${Math.abs(factor)} ${name}`;
}
