import { choleskyBlocked } from './blocked-cholesky';
import type { MatrixProducts } from './matrix-products';
import type { Rows } from './matrix-source';
import { shifted } from './small-matrix';
import type { SquareMatrix } from './small-matrix';
import { solveCholesky } from './solve-cholesky';

/** Sums over examples that a linear regression with an offset needs, in float64. */
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
  /** Share of the trace of the Gram matrix that was added to each of its diagonal's entries. */
  readonly penalty: number;
}

/** Examples of a regression, as many of the one as of the other. */
export interface RegressionData {
  /** [examples, features] */
  readonly features: Rows;
  /** [examples, outputs] */
  readonly targets: Rows;
}

/** Penalties that are tried, beside an infinite one. */
const penalties = [1e-9, 1e-7, 1e-5, 1e-3, 1e-2, 1e-1];

/**
 * Ridge regression in closed form, by normal equations in float64; the penalty is the one of least squared
 * error on held-out examples (Hoerl and Kennard 1970), and counts for the offset as well. Where none does
 * better than nothing, the map is 0.
 * @param pause is awaited before each penalty; may throw to stop
 */
export async function ridge(
  products: MatrixProducts,
  train: RegressionData,
  heldOut: RegressionData,
  pause: () => Promise<void> = () => Promise.resolve(),
): Promise<LinearMap> {
  const known = await momentsOf(products, train);
  const other = await momentsOf(products, heldOut);
  const size = known.gram.size;
  let best: { error: number; penalty: number; numbers: Float64Array } = {
    error: other.squares,
    penalty: Number.POSITIVE_INFINITY,
    numbers: new Float64Array(known.cross.length),
  };
  for (const penalty of penalties) {
    await pause();
    const factor = await choleskyBlocked(products, shifted(known.gram, penalty));
    if (factor === undefined) {
      continue;
    }
    const numbers = await solveCholesky(products, factor, Float64Array.from(known.cross));
    const error = await errorOf(products, numbers, other);
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

async function momentsOf(
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

/** Σ (y − Wᵀ·z)² from the sums. */
async function errorOf(
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

/** Each row with a 1 behind it. */
function withOne({ count, length, numbers }: Rows): Rows {
  const longer = new Float32Array(count * (length + 1)).fill(1);
  for (let row = 0; row < count; row++) {
    longer.set(numbers.subarray(row * length, (row + 1) * length), row * (length + 1));
  }
  return { count, length: length + 1, numbers: longer };
}
