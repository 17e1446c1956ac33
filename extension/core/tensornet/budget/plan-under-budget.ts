import { UserError } from '../../user-error';
import type { CompressionChoice } from '../compression-choice';
import { matricesOf } from '../sensitivity/sensitivity-profile';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  OuterSensitivity,
  SensitivityEntry,
  SensitivityProfile,
} from '../sensitivity/sensitivity-profile';
import { chooseOptions } from './choose-options';
import type { BudgetSolution, BudgetProblem } from './budget-problem';
import { say } from '../../message';

/**
 * What a budget counts: bytes and parameters of all tensors; FLOPs of one token in the sublayers, and its
 * milliseconds in their linear layers but for convolutions, both with the head where the table has measured it.
 */
export const budgetUnits = ['bytes', 'parameters', 'flops', 'milliseconds'] as const;
export type BudgetUnit = (typeof budgetUnits)[number];

export interface CompressionBudget {
  readonly unit: BudgetUnit;
  /** Share of what is counted of the whole model that may be left, in (0, 1). */
  readonly ratio: number;
}

/** A sublayer that may be removed, with the distance of the model that lacks it alone. */
export interface RemovalCost {
  readonly sublayer: string;
  readonly distance: number;
}

/** What to do with a model to keep to a budget. */
export interface CompressionPlan {
  readonly compress: readonly CompressionChoice[];
  /** Ids of sublayers. */
  readonly remove: readonly string[];
  /** Of the whole model, in the unit of the budget. */
  readonly cost: number;
  readonly costBefore: number;
  /** Sum of the measured distances of every change alone. */
  readonly sumOfDistances: number;
}

/** A plan's problem, its matrices and sublayers in the order of the problem's. */
export interface PlannedProblem extends BudgetProblem {
  readonly matrices: readonly (LayerSensitivity | OuterSensitivity)[];
  readonly removable: readonly RemovalCost[];
  /** Of what is not listed, in the unit of the budget. */
  readonly fixedCost: number;
  readonly costBefore: number;
}

/**
 * States the choice among a table's measured options as a {@link BudgetProblem}: the first option of
 * every layer is to keep it.
 * @throws UserError where the budget is no ratio, or the table knows no times that it is to be counted in.
 */
export function planProblem(
  table: SensitivityProfile,
  { unit, ratio }: CompressionBudget,
  removable: readonly RemovalCost[] = [],
): PlannedProblem {
  if (!(ratio > 0 && ratio < 1)) {
    throw new UserError(say`${ratio} is not a share of the model above 0 and below 1.`, {
      field: 'budget',
      remedy: say`Write 0.5 for half of it.`,
    });
  }
  const { model, layers, original } = table;
  const matrices = matricesOf(table);
  const known = removable.filter(({ sublayer }) =>
    model.sublayers.some(({ id }) => id === sublayer),
  );
  const choices = matrices.map((matrix) => {
    const sublayer =
      'sublayer' in matrix ? known.findIndex((one) => one.sublayer === matrix.sublayer) : -1;
    const options = [
      { cost: costOf[unit](matrix), loss: 0 },
      // Distances by perplexity begin at the original's.
      ...matrix.entries.map((entry) => ({
        cost: costOf[unit](entry),
        loss: Math.max(0, entry.distance - original),
      })),
    ];
    return { options, ...(sublayer < 0 ? {} : { sublayer }) };
  });
  const linearCost = (id: string): number =>
    sumOf(
      layers.filter(({ sublayer }) => sublayer === id),
      unit,
    );
  const sublayers = known.map(({ sublayer, distance }) => ({
    cost: Math.max(0, sublayerCost(table, unit, sublayer) - linearCost(sublayer)),
    loss: Math.max(0, distance - original),
  }));
  const costBefore = wholeCost(table, unit);
  if (unit === 'milliseconds' && costBefore === 0) {
    throw new UserError(say`The sensitivity profile has no times: all matrices are convolutions.`, {
      field: 'unit',
      remedy: say`Count bytes, parameters or flops.`,
    });
  }
  const listed = sumOf(matrices, unit) + sublayers.reduce((sum, { cost }) => sum + cost, 0);
  const fixedCost = costBefore - listed;
  return {
    matrices,
    removable: known,
    layers: choices,
    sublayers,
    fixedCost,
    costBefore,
    budget: ratio * costBefore - fixedCost,
  };
}

/**
 * The changes with the smallest sum of measured distances that keep to a budget.
 * @throws UserError where the measured options cannot.
 */
export async function planUnderBudget(
  table: SensitivityProfile,
  budget: CompressionBudget,
  removable: readonly RemovalCost[] = [],
): Promise<CompressionPlan> {
  const problem = planProblem(table, budget, removable);
  return planOf(problem, await chooseOptions(problem));
}

/** A solution in the words of plans. */
export function planOf(
  { matrices, removable, fixedCost, costBefore }: PlannedProblem,
  solution: BudgetSolution,
): CompressionPlan {
  const compress = matrices.flatMap((matrix, i): CompressionChoice[] => {
    const entry = entryOf(matrix, solution.options[i]);
    return entry === undefined
      ? []
      : tensorsOf(matrix).map((tensor) => ({ tensor, ...compressionOf(entry) }));
  });
  return {
    compress,
    remove: solution.removed.flatMap((i) => removable[i]?.sublayer ?? []),
    cost: fixedCost + solution.cost,
    costBefore,
    sumOfDistances: solution.loss,
  };
}

/** The matrix, and the head that it is as well. */
function tensorsOf(matrix: LayerSensitivity | OuterSensitivity): string[] {
  const { tensor } = matrix;
  return 'tiedTo' in matrix ? [tensor, matrix.tiedTo] : [tensor];
}

/** The entry that an option of a matrix stands for; undefined where it is kept or goes. */
function entryOf(
  { entries }: MatrixSensitivity,
  option: number | undefined,
): SensitivityEntry | undefined {
  return option === undefined ? undefined : entries[option - 1];
}

function compressionOf({
  method,
  level,
  variant,
  then,
  sites,
}: SensitivityEntry): Omit<CompressionChoice, 'tensor'> {
  return {
    method,
    level,
    ...(variant === undefined ? {} : { variant }),
    ...(then === undefined ? {} : { then }),
    ...(sites === undefined ? {} : { sites }),
  };
}

type Costs = Pick<MatrixSensitivity, 'bytes' | 'parameters' | 'flopsPerToken' | 'milliseconds'>;

const costOf: Readonly<Record<BudgetUnit, (costs: Costs) => number>> = {
  bytes: ({ bytes }) => bytes,
  parameters: ({ parameters }) => parameters,
  flops: ({ flopsPerToken }) => flopsPerToken,
  milliseconds: ({ milliseconds }) => milliseconds,
};

function sumOf(matrices: readonly Costs[], unit: BudgetUnit): number {
  return matrices.reduce((sum, matrix) => sum + costOf[unit](matrix), 0);
}

function sublayerCost({ model, layers }: SensitivityProfile, unit: BudgetUnit, id: string): number {
  const sublayer = model.sublayers.find((one) => one.id === id);
  if (unit === 'milliseconds') {
    return sumOf(
      layers.filter((layer) => layer.sublayer === id),
      unit,
    );
  }
  return sublayer === undefined ? 0 : costOf[unit]({ ...sublayer, milliseconds: 0 });
}

/** Of the whole model; of FLOPs and milliseconds what its sublayers take, and a head that was measured. */
function wholeCost(table: SensitivityProfile, unit: BudgetUnit): number {
  const { model, outer = [] } = table;
  if (unit === 'bytes' || unit === 'parameters') {
    return model[unit];
  }
  const inside = model.sublayers.reduce((sum, { id }) => sum + sublayerCost(table, unit, id), 0);
  return inside + sumOf(outer, unit);
}
