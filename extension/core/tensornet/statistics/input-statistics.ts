import type { SquareMatrix } from '../../linear-algebra/small-matrix';

/** Statistics of the inputs x of a linear layer on the calibration text. */
export interface InputStatistics {
  /** Number of rows x. */
  readonly count: number;
  /** Σ xᵀ·x, [in, in]. */
  readonly gram: SquareMatrix;
  /** Mean of |x| per input. */
  readonly meanMagnitudes: Float64Array;
}
