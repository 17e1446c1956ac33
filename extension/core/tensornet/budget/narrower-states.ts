import type { SublayerSummary } from '../../models/model-summary';
import { quantizerNames } from '../compression-choice';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  SensitivityEntry,
} from '../sensitivity/sensitivity-profile';
import { costOf, isWork, noWork, ownCost } from './budget-limits';
import type { BudgetUnit } from './budget-limits';

/** The entry of each option of each layer; undefined for layers that are kept. */
export type Offered = readonly (readonly (SensitivityEntry | undefined)[])[];

/** A matrix, and the expert that it belongs to. */
type Matrix = MatrixSensitivity & Partial<Pick<LayerSensitivity, 'expert' | 'role'>>;

/** The share of a layer's costs that is left where its sublayer is narrower. */
export type LeftOver = (
  unit: BudgetUnit,
  matrix: Matrix,
  entry: SensitivityEntry | undefined,
) => number;

/** What stays of a sublayer's width. */
export interface WidthShare {
  readonly kept: number;
  readonly count: number;
}

/** What is offered for layers of other sizes: to keep them, and integers, whose sizes follow. */
export function narrowable(matrices: readonly MatrixSensitivity[]): Offered {
  const isQuantized = ({ method }: SensitivityEntry): boolean =>
    quantizerNames.some((name) => name === method);
  return matrices.map(({ entries }) => [undefined, ...entries.filter(isQuantized)]);
}

/** What is left of a layer's costs where its sublayer is narrower: rows of blocks, where those share a scale. */
export function shareOf(
  { kept, count }: WidthShare,
  matrix: Matrix,
  entry: SensitivityEntry | undefined,
): number {
  const { role } = matrix;
  const blockSize = entry === undefined || entry.level === 0 ? 1 : entry.level;
  const isLast = role === 'down' || role === 'output';
  const left = (matrix.in * kept) / count;
  return isLast ? Math.ceil(left / blockSize) / Math.ceil(matrix.in / blockSize) : kept / count;
}

/** What is offered where some experts go: for theirs nothing, for the others all. */
export function staying(matrices: readonly Matrix[], without: ReadonlySet<number>): Offered {
  return matrices.map((matrix) => [undefined, ...(isGone(matrix, without) ? [] : matrix.entries)]);
}

const isGone = (matrix: Matrix, without: ReadonlySet<number>): boolean =>
  matrix.expert !== undefined && without.has(matrix.expert);

/** The tokens of experts that go are sent to the others, which store no more but work more for it. */
export function lessExperts(without: ReadonlySet<number>, { kept, count }: WidthShare): LeftOver {
  return (unit, matrix) => {
    if (isGone(matrix, without)) {
      return 0;
    }
    return matrix.expert === undefined || !isWork(unit) ? 1 : count / kept;
  };
}

/** What is counted of an expert besides its layers; work goes to others. */
export function restOfExpert(
  unit: BudgetUnit,
  { experts }: SublayerSummary,
  matrices: readonly LayerSensitivity[],
): number {
  if (experts === undefined || isWork(unit)) {
    return 0;
  }
  const whole = costOf[unit]({ ...experts, ...noWork });
  return Math.max(
    0,
    whole -
      sumOf(
        matrices.filter(({ expert }) => expert === 0),
        unit,
      ),
  );
}

/** What is counted of a sublayer besides its layers, keys and values. */
export function restCost(
  unit: BudgetUnit,
  sublayer: SublayerSummary,
  matrices: readonly LayerSensitivity[],
): number {
  return Math.max(0, ownCost(unit, sublayer) - sumOf(matrices, unit));
}

export function sumOf(matrices: readonly MatrixSensitivity[], unit: BudgetUnit): number {
  return matrices.reduce((sum, matrix) => sum + costOf[unit](matrix), 0);
}
