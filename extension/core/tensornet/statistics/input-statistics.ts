import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import type { InputWeights } from '../randomized-svd';

/** Statistics of the inputs x of a linear layer on the calibration text. */
export interface InputStatistics {
  /** Number of rows x. */
  readonly count: number;
  /** Σ xᵀ·x, [in, in]. */
  readonly gram: SquareMatrix;
  /** Mean of |x| per input. */
  readonly meanMagnitudes: Float64Array;
}

/** Exponent of mean |x| by which inputs are scaled (ASVD, arXiv 2312.05821, § 3.2). */
const scaleExponent = 0.5;
/** Minimum scale of an input, as a share of the mean, which keeps inputs that are always 0 on the calibration text. */
const leastScale = 1e-3;
/** Share of the inputs' mean variance that is added to each; decides directions without data. */
const dampingShare = 1e-5;

/** mean |x|^α per input, normalized to mean 1; ones if all inputs were zero. */
export function inputScales({
  meanMagnitudes,
}: Pick<InputStatistics, 'meanMagnitudes'>): Float64Array {
  const scales = meanMagnitudes.map((magnitude) => magnitude ** scaleExponent);
  const mean = scales.reduce((sum, scale) => sum + scale, 0) / scales.length;
  return mean > 0 ? scales.map((scale) => Math.max(leastScale, scale / mean)) : scales.map(() => 1);
}

/** Weights that minimize the error of W·diag(s), with s the {@link inputScales}. */
export function scaledWeights(statistics: Pick<InputStatistics, 'meanMagnitudes'>): InputWeights {
  return { gram: inputScales(statistics).map((scale) => scale ** 2), damping: 0 };
}

/** Weights that minimize the error of the outputs on the calibration text. */
export function covarianceWeights({ gram }: Pick<InputStatistics, 'gram'>): InputWeights {
  const { size, numbers } = gram;
  let trace = 0;
  for (let i = 0; i < size; i++) {
    trace += numbers[i * size + i] ?? 0;
  }
  return { gram, damping: trace > 0 ? (dampingShare * trace) / size : 1 };
}
