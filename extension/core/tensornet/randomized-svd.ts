import { seededRandom, standardNormal } from '../data/random';
import { UserError } from '../user-error';
import type { MatrixProducts, MatrixSource, Rows } from './matrix-products';
import { sizesOf } from './matrix-products';
import { cholesky, invertLower, shifted, symmetricEigen, trace } from './small-matrix';

export interface SvdOptions {
  readonly rank: number;
  readonly seed: number;
  /** Stops when an iteration lowers the squared residual by less than this share of it. */
  readonly tolerance?: number;
  readonly maxIterations?: number;
}

/** A ≈ Σᵢ uᵢ·vᵢᵀ of a matrix [rows, columns]. */
export interface LowRank {
  /** Orthonormal left vectors uᵢ, `length` being A's rows. */
  readonly left: Rows;
  /** σᵢ·(right singular vector), `length` being A's columns: never divided by a singular value. */
  readonly right: Rows;
  /** σᵢ, largest first. */
  readonly singularValues: Float64Array;
  /** ‖A − Σ uᵢvᵢᵀ‖ (Frobenius), and ‖A‖. */
  readonly error: number;
  readonly norm: number;
  /** Power iterations run. */
  readonly iterations: number;
}

/** Vectors beyond the rank that are iterated with it (Halko et al. 2011, § 4.2, "oversampling"). */
const oversampling = 32;
/** An excess error of some 0.3 % where the spectrum falls slowly. */
const usualTolerance = 1e-3;
const usualMaxIterations = 12;
/** What is added to a Gram matrix that is not positive definite, as a share of its trace. */
const shift = 1e-12;
/** The second pass removes what rounding left of the first; a shift takes one more. */
const usualPasses = 2;
const passesWithShift = 3;

/**
 * Randomized SVD by subspace iteration (Halko, Martinsson, Tropp 2011, arXiv 0909.4061, algorithm
 * 4.4), orthonormalised by Cholesky of Gram matrices in float64, twice, with a shift where they are
 * singular (Fukaya et al. 2020, arXiv 1809.11085). The rank is cut to that of the matrix's sizes.
 * @throws UserError where the matrix holds NaN or infinity.
 */
export async function randomizedSvd(
  products: MatrixProducts,
  matrix: MatrixSource,
  { rank, seed, tolerance = usualTolerance, maxIterations = usualMaxIterations }: SvdOptions,
): Promise<LowRank> {
  const { rows, columns } = sizesOf(matrix);
  const smallest = Math.min(rows, columns);
  const kept = Math.min(rank, smallest);
  const count = Math.min(kept + oversampling, smallest);
  const squaredNorm = await products.squaredNorm(matrix);
  if (squaredNorm === 0) {
    return zeroMatrix(kept, rows, columns);
  }
  const random = seededRandom(seed);
  const start = Float32Array.from({ length: count * columns }, () => standardNormal(random));
  let basis = await orthonormal(
    products,
    await products.apply(matrix, { count, length: columns, numbers: start }),
  );
  let projected = await products.applyTransposed(matrix, basis);
  let gram = await products.gram(projected);
  let residual = Math.max(0, squaredNorm - trace(gram));
  let iterations = 0;
  // A basis as large as the matrix holds all of it.
  while (count < smallest && iterations < maxIterations && residual > 0) {
    const right = await orthonormal(products, projected);
    basis = await orthonormal(products, await products.apply(matrix, right));
    projected = await products.applyTransposed(matrix, basis);
    gram = await products.gram(projected);
    iterations++;
    const before = residual;
    residual = Math.max(0, squaredNorm - trace(gram));
    if (before - residual < tolerance * residual) {
      break;
    }
  }
  const { values, vectors } = symmetricEigen(gram);
  const largest = vectors.subarray(0, kept * count);
  const captured = values.slice(0, kept).map((value) => Math.max(0, value));
  return {
    left: await products.combine(largest, basis),
    right: await products.combine(largest, projected),
    singularValues: captured.map(Math.sqrt),
    error: Math.sqrt(Math.max(0, squaredNorm - captured.reduce((sum, value) => sum + value, 0))),
    norm: Math.sqrt(squaredNorm),
    iterations,
  };
}

/**
 * Orthonormal rows that span what `rows` do. Where these have a lower rank, the directions beyond it
 * are noise of norm 1 at most, in which the matrix has nothing.
 */
async function orthonormal(products: MatrixProducts, rows: Rows): Promise<Rows> {
  let result = rows;
  let passes = usualPasses;
  for (let pass = 0; pass < passes; pass++) {
    const gram = await products.gram(result);
    if (!Number.isFinite(trace(gram))) {
      throw new UserError("The matrix's numbers are too large for float32 products.", {
        remedy: 'Leave this layer as it is.',
      });
    }
    let lower = cholesky(gram);
    for (let share = shift; lower === undefined; share *= 10) {
      lower = cholesky(shifted(gram, share));
      passes = passesWithShift;
    }
    result = await products.combine(invertLower(lower).numbers, result);
  }
  return result;
}

function zeroMatrix(kept: number, rows: number, columns: number): LowRank {
  const left = new Float32Array(kept * rows);
  for (let i = 0; i < kept; i++) {
    left[i * rows + i] = 1;
  }
  return {
    left: { count: kept, length: rows, numbers: left },
    right: { count: kept, length: columns, numbers: new Float32Array(kept * columns) },
    singularValues: new Float64Array(kept),
    error: 0,
    norm: 0,
    iterations: 0,
  };
}
