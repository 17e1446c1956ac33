import { choleskyBlocked } from './blocked-cholesky';
import type { MatrixProducts } from './matrix-products';
import type { Rows } from './matrix-source';
import { shiftDiagonal } from './small-matrix';
import type { SquareMatrix } from './small-matrix';
import { solveCholesky } from './solve-cholesky';

/** Sums over the examples for a linear regression with intercept, in float64. */
interface Moments {
  /** Σ zᵀz with z = (features, 1). */
  readonly gram: SquareMatrix;
  /** Σ zᵀy: [features + 1, outputs]. */
  readonly cross: Float64Array;
  /** Σ y². */
  readonly squares: number;
}

/** A linear map y = W·x + b. */
export interface LinearMap {
  /** [outputs, features] */
  readonly weight: Float32Array;
  /** [outputs] */
  readonly bias: Float32Array;
  /** Ridge penalty on the Gram matrix's diagonal, as a share of its trace. */
  readonly penalty: number;
}

/** Examples of a regression. */
export interface RegressionData {
  /** [examples, features] */
  readonly features: Rows;
  /** [examples, outputs] */
  readonly targets: Rows;
}

/** Penalties to try, in addition to an infinite one. */
const penalties = [1e-9, 1e-7, 1e-5, 1e-3, 1e-2, 1e-1];

/**
 * Ridge regression in closed form, from the normal equations in float64 (Hoerl and Kennard 1970). Uses the penalty with
 * the least squared error on held-out examples; the intercept is penalized too. If no penalty beats predicting 0, the
 * map is 0.
 * @param pause awaited before each penalty; may throw to stop
 */
export async function ridge(
  products: MatrixProducts,
  train: RegressionData,
  heldOut: RegressionData,
  pause: () => Promise<void> = () => Promise.resolve(),
): Promise<LinearMap> {
  const known = await computeMoments(products, train);
  const other = await computeMoments(products, heldOut);
  const size = known.gram.size;
  let best: { error: number; penalty: number; numbers: Float64Array } = {
    error: other.squares,
    penalty: Number.POSITIVE_INFINITY,
    numbers: new Float64Array(known.cross.length),
  };
  for (const penalty of penalties) {
    await pause();
    const factor = await choleskyBlocked(products, shiftDiagonal(known.gram, penalty));
    if (factor === undefined) {
      continue;
    }
    const numbers = await solveCholesky(products, factor, Float64Array.from(known.cross));
    const error = await squaredError(products, numbers, other);
    if (error < best.error) {
      best = { error, penalty, numbers };
    }
  }
  const { numbers, penalty } = best;
  const [features, outputs] = [size - 1, numbers.length / size];
  const weight = new Float32Array(outputs * features);
  for (let i = 0; i < weight.length; i++) {
    weight[i] = numbers[(i % features) * outputs + Math.floor(i / features)] ?? 0;
  }
  return { weight, bias: Float32Array.from(numbers.subarray(features * outputs)), penalty };
}

async function computeMoments(
  products: MatrixProducts,
  { features, targets }: RegressionData,
): Promise<Moments> {
  const rows = withOne(features);
  return {
    gram: { size: rows.length, numbers: await products.crossProducts(rows) },
    cross: await products.crossBetween(rows, targets),
    squares: targets.numbers.reduce((sum, y) => sum + y * y, 0),
  };
}

/** Σ (y − Wᵀ·z)², computed from the moments. */
async function squaredError(
  products: MatrixProducts,
  numbers: Float64Array,
  { gram, cross, squares }: Moments,
): Promise<number> {
  const weighed = await products.multiply(gram.numbers, gram.size, numbers);
  return numbers.reduce(
    (sum, w, i) => sum + w * ((weighed[i] ?? 0) - 2 * (cross[i] ?? 0)),
    squares,
  );
}

/** Appends a 1 to each row. */
function withOne({ count, length, numbers }: Rows): Rows {
  const longer = new Float32Array(count * (length + 1)).fill(1);
  for (let row = 0; row < count; row++) {
    longer.set(numbers.subarray(row * length, (row + 1) * length), row * (length + 1));
  }
  return { count, length: length + 1, numbers: longer };
}
