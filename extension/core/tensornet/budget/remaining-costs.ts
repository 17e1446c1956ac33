import { rowBytes } from '../../checkpoints/quantize/quantizers';
import type { SublayerSummary } from '../../models/model-summary';
import { embeddingMethods } from '../compression-choice';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  SensitivityEntry,
} from '../sensitivity/sensitivity-profile';
import { unitCosts, isWorkUnit, noWork, ownCost } from './budget-limits';
import type { BudgetUnit } from './budget-limits';

/** Profile entries of the options of each layer; undefined for the unchanged layer. */
export type OfferedEntries = readonly (readonly (SensitivityEntry | undefined)[])[];

/** Matrix with its expert, if it has one. */
type Matrix = MatrixSensitivity & Partial<Pick<LayerSensitivity, 'expert' | 'role'>>;

/** Share of a layer's cost that remains after width pruning of its sublayer. */
export type RemainingCost = (
  unit: BudgetUnit,
  matrix: Matrix,
  entry: SensitivityEntry | undefined,
) => number;

/** Remaining width of a sublayer. */
export interface WidthShare {
  readonly kept: number;
  readonly count: number;
}

/** Options of layers in a width-pruned sublayer: unchanged, integer encodings and GGUF types. */
export function widthPruningOptions(matrices: readonly MatrixSensitivity[]): OfferedEntries {
  const isQuantized = ({ method }: SensitivityEntry): boolean =>
    embeddingMethods.some((name) => name === method);
  return matrices.map(({ entries }) => [undefined, ...entries.filter(isQuantized)]);
}

/** True for the layer of a sublayer that writes to the residual stream: its inputs are pruned. */
const isLast = ({ role }: Matrix): boolean => role === 'down' || role === 'output';

/** Inputs of a layer after width pruning of its sublayer. */
export const remainingInputs = ({ kept, count }: WidthShare, matrix: Matrix): number =>
  isLast(matrix) ? (matrix.in * kept) / count : matrix.in;

/** Share of a layer's cost that remains after width pruning, in whole rows of quantization blocks. */
export function remainingShare(
  share: WidthShare,
  matrix: Matrix,
  entry: SensitivityEntry | undefined,
): number {
  if (!isLast(matrix)) {
    return share.kept / share.count;
  }
  const left = remainingInputs(share, matrix);
  if (entry?.type !== undefined) {
    return rowBytes(entry.type, left) / rowBytes(entry.type, matrix.in);
  }
  const groupSize = entry === undefined || entry.setting === 0 ? 1 : entry.setting;
  return Math.ceil(left / groupSize) / Math.ceil(matrix.in / groupSize);
}

/** Options of layers if some experts are removed: none for theirs, all for the others. */
export function optionsWithoutExperts(
  matrices: readonly Matrix[],
  without: ReadonlySet<number>,
): OfferedEntries {
  return matrices.map((matrix) => [undefined, ...(isGone(matrix, without) ? [] : matrix.entries)]);
}

const isGone = (matrix: Matrix, without: ReadonlySet<number>): boolean =>
  matrix.expert !== undefined && without.has(matrix.expert);

/** Tokens of removed experts are routed to the others, which need the same storage but do more work. */
export function remainingExpertShare(
  without: ReadonlySet<number>,
  { kept, count }: WidthShare,
): RemainingCost {
  return (unit, matrix) => {
    if (isGone(matrix, without)) {
      return 0;
    }
    return matrix.expert === undefined || !isWorkUnit(unit) ? 1 : count / kept;
  };
}

/** Cost of an expert without its layers; 0 for work, which moves to other experts. */
export function expertRestCost(
  unit: BudgetUnit,
  { experts }: SublayerSummary,
  matrices: readonly LayerSensitivity[],
): number {
  if (experts === undefined || isWorkUnit(unit)) {
    return 0;
  }
  const whole = unitCosts[unit]({ ...experts, ...noWork });
  return Math.max(
    0,
    whole -
      totalCost(
        matrices.filter(({ expert }) => expert === 0),
        unit,
      ),
  );
}

/** Cost of a sublayer without its layers and KV cache. */
export function restCost(
  unit: BudgetUnit,
  sublayer: SublayerSummary,
  matrices: readonly LayerSensitivity[],
): number {
  return Math.max(0, ownCost(unit, sublayer) - totalCost(matrices, unit));
}

export function totalCost(matrices: readonly MatrixSensitivity[], unit: BudgetUnit): number {
  return matrices.reduce((sum, matrix) => sum + unitCosts[unit](matrix), 0);
}
