import { seededRandom, standardNormal } from '../data/random';
import { UserError } from '../user-error';
import type { MatrixProducts, MatrixSource, Rows } from '../linear-algebra/matrix-products';
import { sizesOf } from '../linear-algebra/matrix-products';
import { cholesky, invertLower, shifted, trace } from '../linear-algebra/small-matrix';
import type { SquareMatrix } from '../linear-algebra/small-matrix';
import { symmetricEigen } from './symmetric-eigen';
import { sumOfSquares } from './tensor-values';

export interface SvdOptions {
  readonly rank: number;
  readonly seed: number;
  /** Stops when an iteration lowers the squared residual by less than this share of it. */
  readonly tolerance?: number;
  readonly maxIterations?: number;
  /** C of the error ‖(A − A′)·C^½‖ that is least; the identity when absent. */
  readonly weights?: InputWeights;
}

/** What directions of a matrix's inputs weigh: a symmetric matrix, positive definite by its damping. */
export interface InputWeights {
  readonly gram: SquareMatrix | Float64Array;
  /** Added to the diagonal. */
  readonly damping: number;
}

/** A ≈ Σᵢ uᵢ·vᵢᵀ of a matrix [rows, columns]. */
export interface LowRank {
  /** Orthonormal left vectors uᵢ, `length` being A's rows. */
  readonly left: Rows;
  /** vᵢ = Aᵀ·uᵢ, `length` being A's columns: never divided by a singular value. */
  readonly right: Rows;
  /** σᵢ of A, or of A·C^½ where inputs are weighed, largest first. */
  readonly singularValues: Float64Array;
  /** ‖A·C^½‖², of which σ² are the parts that are kept; ‖A‖² without weights. */
  readonly energy: number;
  /** ‖A − Σ uᵢvᵢᵀ‖ (Frobenius), and ‖A‖. */
  readonly error: number;
  readonly norm: number;
  /** Power iterations run. */
  readonly iterations: number;
}

/** Vectors beyond the rank that are iterated with it (Halko et al. 2011, § 4.2, "oversampling"). */
const oversampling = 32;
/** An excess error of some 0.3 % where the spectrum falls slowly. */
const defaultTolerance = 1e-3;
const defaultMaxIterations = 12;
/** What is added to a Gram matrix that is not positive definite, as a share of its trace. */
const shift = 1e-12;
/** The second pass removes what rounding left of the first; a shift takes one more. */
const defaultPasses = 2;
const passesWithShift = 3;

/**
 * Randomized SVD by subspace iteration (Halko, Martinsson, Tropp 2011, arXiv 0909.4061, algorithm
 * 4.4), orthonormalised by Cholesky of Gram matrices in float64, twice, with a shift where they are
 * singular (Fukaya et al. 2020, arXiv 1809.11085). The rank is cut to that of the matrix's sizes.
 * With weights C it iterates on A·C·Aᵀ, whose eigenvectors u give the best A′ = Σ u·uᵀ·A: no root
 * and no inverse of C is taken.
 * @throws UserError where the matrix holds NaN or infinity.
 */
export async function randomizedSvd(
  products: MatrixProducts,
  matrix: MatrixSource,
  options: SvdOptions,
): Promise<LowRank> {
  const {
    rank,
    seed,
    tolerance = defaultTolerance,
    maxIterations = defaultMaxIterations,
  } = options;
  const { rows, columns } = sizesOf(matrix);
  const smallest = Math.min(rows, columns);
  const kept = Math.min(rank, smallest);
  const count = Math.min(kept + oversampling, smallest);
  const squaredNorm = await products.squaredNorm(matrix);
  if (squaredNorm === 0) {
    return zeroMatrix(kept, rows, columns);
  }
  const { weights } = options;
  const whole =
    weights === undefined ? squaredNorm : await weighedNorm(products, matrix, weights, squaredNorm);
  const random = seededRandom(seed);
  const start = Float32Array.from({ length: count * columns }, () => standardNormal(random));
  let basis = await orthonormal(
    products,
    await products.apply(matrix, { count, length: columns, numbers: start }),
  );
  let projected = await products.applyTransposed(matrix, basis);
  let weighed = await weigh(products, projected, weights);
  let gram = await gramOf(products, projected, weighed);
  let residual = Math.max(0, whole - trace(gram));
  let iterations = 0;
  // A basis as large as the matrix holds all of it.
  while (count < smallest && iterations < maxIterations && residual > 0) {
    // One pass keeps the directions apart; that they are orthonormal matters only on the left.
    const right = await orthonormal(products, weighed, 1);
    basis = await orthonormal(products, await products.apply(matrix, right));
    projected = await products.applyTransposed(matrix, basis);
    weighed = await weigh(products, projected, weights);
    gram = await gramOf(products, projected, weighed);
    iterations++;
    const before = residual;
    residual = Math.max(0, whole - trace(gram));
    if (before - residual < tolerance * residual) {
      break;
    }
  }
  const { values, vectors } = symmetricEigen(gram);
  const largest = vectors.subarray(0, kept * count);
  const captured = values.slice(0, kept).map((value) => Math.max(0, value));
  const right = await products.combine(largest, projected);
  const held = weights === undefined ? sumOf(captured) : sumOfSquares(right.numbers);
  return {
    left: await products.combine(largest, basis),
    right,
    singularValues: captured.map(Math.sqrt),
    energy: whole,
    error: Math.sqrt(Math.max(0, squaredNorm - held)),
    norm: Math.sqrt(squaredNorm),
    iterations,
  };
}

/** y·C for each row y; the rows themselves without weights. */
async function weigh(
  products: MatrixProducts,
  rows: Rows,
  weights: InputWeights | undefined,
): Promise<Rows> {
  if (weights === undefined) {
    return rows;
  }
  const { gram, damping } = weights;
  const { length, numbers } = rows;
  const weighed =
    gram instanceof Float64Array ? numbers : (await products.weigh(rows, gram)).numbers;
  const result = new Float32Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) {
    const factor = gram instanceof Float64Array ? (gram[i % length] ?? 0) : 1;
    result[i] = factor * (weighed[i] ?? 0) + damping * (numbers[i] ?? 0);
  }
  return { ...rows, numbers: result };
}

/** Y·C·Yᵀ of rows Y and Y·C. */
async function gramOf(products: MatrixProducts, rows: Rows, weighed: Rows): Promise<SquareMatrix> {
  return rows === weighed
    ? products.gram(rows)
    : { size: rows.count, numbers: await products.inner(rows, weighed) };
}

/** ‖A·C^½‖² */
async function weighedNorm(
  products: MatrixProducts,
  matrix: MatrixSource,
  { gram, damping }: InputWeights,
  squaredNorm: number,
): Promise<number> {
  const rows = await products.read(matrix);
  if (!(gram instanceof Float64Array)) {
    return (await products.weighedSquares(rows, gram)) + damping * squaredNorm;
  }
  let sum = damping * squaredNorm;
  rows.numbers.forEach((x, i) => {
    sum += x * x * (gram[i % rows.length] ?? 0);
  });
  return sum;
}

function sumOf(numbers: Float64Array): number {
  return numbers.reduce((sum, value) => sum + value, 0);
}

/**
 * Orthonormal rows that span what `rows` do. Where these have a lower rank, the directions beyond it
 * are noise of norm 1 at most, in which the matrix has nothing.
 */
async function orthonormal(
  products: MatrixProducts,
  rows: Rows,
  wantedPasses = defaultPasses,
): Promise<Rows> {
  let result = rows;
  let passes = wantedPasses;
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
    energy: 0,
    error: 0,
    norm: 0,
    iterations: 0,
  };
}
