import type { SquareMatrix } from '../../linear-algebra/small-matrix';

/** What the inputs x of a linear layer were like on calibration. */
export interface InputStatistics {
  /** Rows x seen. */
  readonly count: number;
  /** Σ xᵀ·x, [in, in]. */
  readonly gram: SquareMatrix;
  /** Mean of |x| for each input. */
  readonly meanMagnitudes: Float64Array;
}
