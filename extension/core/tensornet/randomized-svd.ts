import { seededRandom } from '../data/random';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { MatrixSource, Rows } from '../linear-algebra/matrix-source';
import { matrixSizes } from '../linear-algebra/matrix-source';
import { scaleGram } from '../linear-algebra/scaled-gram';
import type { SquareMatrix } from '../linear-algebra/small-matrix';
import { sumOfSquares } from '../linear-algebra/squares';
import { KrylovBasis } from './krylov-basis';
import { leadingEigen } from './leading-eigen';
import type { Eigen } from '../linear-algebra/symmetric-eigen';

export interface SvdOptions {
  readonly rank: number;
  readonly seed: number;
  /** Stops when another block would lower the squared residual by less than this share of it. */
  readonly tolerance?: number;
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
  /** Vectors of the Krylov space: each took one product with A and one with Aᵀ. */
  readonly basisSize: number;
}

/** Vectors of the basis for each one of the rank, and beside them. */
const [vectorsPerRank, oversampling] = [2, 64];
/** Blocks that the first basis is made of: smaller ones gain more for each vector, but run slower. */
const blocks = 16;
/** An excess error of some 0.3 % at most: all blocks to come gain up to ten times what the next one does. */
const defaultTolerance = 5e-4;
/** Least distance of a Ritz value to what is outside of the basis, as a share of the value. */
const least = 0.1;
/** Least singular value, as a share of the largest, whose left vector is divided by it. */
const smallestShare = 1e-2;
/** Below this share of the whole, residuals are float32's rounding. */
const rounding = 1e-7;

/**
 * Randomized SVD by a block Krylov space (Musco and Musco 2015, arXiv 1504.05477, algorithm 2), with
 * as many blocks as the spectrum needs. The rank is cut to that of the matrix's sizes. With weights C
 * the space is that of A·C·Aᵀ, whose eigenvectors u give the best A′ = Σ u·uᵀ·A: no root and no inverse
 * of C is taken.
 * @throws UserError where the matrix holds NaN or infinity.
 */
export async function randomizedSvd(
  products: MatrixProducts,
  matrix: MatrixSource,
  options: SvdOptions,
): Promise<LowRank> {
  const { rank, seed, weights, tolerance = defaultTolerance } = options;
  const { rows, columns } = matrixSizes(matrix);
  const smallest = Math.min(rows, columns);
  const kept = Math.min(rank, smallest);
  const squaredNorm = await products.squaredNorm(matrix);
  if (squaredNorm === 0) {
    return zeroMatrix(kept, rows, columns);
  }
  const whole =
    weights === undefined ? squaredNorm : await weighedNorm(products, matrix, weights, squaredNorm);
  const share = Math.ceil((vectorsPerRank * kept + oversampling) / blocks);
  // A basis of everything is best made at once: what earlier blocks leave for the last is mostly rounding.
  const isWhole = blocks * share >= smallest;
  if (isWhole && weights === undefined && smallest < rows) {
    const found = await fromColumns(products, matrix, kept, squaredNorm);
    if (found !== undefined) {
      return found;
    }
  }
  const blockSize = isWhole ? smallest : share;
  const basis = new KrylovBasis(products, {
    matrix,
    norm: Math.sqrt(whole),
    ...(weights === undefined ? {} : { weigh: async (some) => weigh(products, some, weights) }),
    random: seededRandom(seed),
    blockSize,
  });
  let count = Math.min(blocks * share, smallest);
  for (;;) {
    await basis.growTo(count);
    const found = await leadingEigen(products, await basis.gram(), kept);
    // A basis as large as the matrix holds all of it.
    if (count === smallest || (await gain(basis, found, kept, whole)) < tolerance) {
      const isWeighed = weights !== undefined;
      return await lowRankOf(products, basis, found, { energy: whole, squaredNorm, isWeighed });
    }
    count = Math.min(count + Math.ceil(kept / blockSize) * blockSize, smallest);
  }
}

/**
 * From the Gram matrix of the columns in float64, where there are few: u = A·v / σ. Undefined where a singular value is
 * so small beside the largest that rounding would show in u.
 */
async function fromColumns(
  products: MatrixProducts,
  matrix: MatrixSource,
  kept: number,
  squaredNorm: number,
): Promise<LowRank | undefined> {
  const { count: rows, length: columns, numbers } = await products.read(matrix);
  const gram = await products.crossProducts({ count: rows, length: columns, numbers });
  const found = await leadingEigen(products, { size: columns, numbers: gram }, kept);
  const values = found.values.slice(0, kept);
  if (!((values[kept - 1] ?? 0) > smallestShare ** 2 * (values[0] ?? 0))) {
    return undefined;
  }
  const singularValues = values.map(Math.sqrt);
  const times = (power: number): Rows => ({
    count: kept,
    length: columns,
    numbers: Float32Array.from(
      found.vectors,
      (x, i) => x * (singularValues[Math.floor(i / columns)] ?? 0) ** power,
    ),
  });
  return {
    left: await products.apply(matrix, times(-1)),
    right: times(1),
    singularValues,
    energy: squaredNorm,
    error: Math.sqrt(Math.max(0, squaredNorm - sumOf(values))),
    norm: Math.sqrt(squaredNorm),
    basisSize: columns,
  };
}

/**
 * By what share another block would lower the squared residual: Σ ρᵢ² / (θᵢ − τ), to second order,
 * with residuals ρᵢ of Ritz values θᵢ, and τ the mean of what is outside of the basis.
 */
async function gain(
  basis: KrylovBasis,
  { values, vectors }: Eigen,
  kept: number,
  whole: number,
): Promise<number> {
  const residuals = await basis.squaredResiduals(vectors);
  const outside = (whole - sumOf(values)) / (basis.smallest - values.length);
  const floor = rounding * whole;
  let lowered = 0;
  for (let i = 0; i < kept; i++) {
    const value = values[i] ?? 0;
    lowered += (residuals[i] ?? 0) / Math.max(value - outside, least * value, floor);
  }
  return lowered / Math.max(whole - sumOf(values.subarray(0, kept)), floor);
}

/** Ritz vectors as factors. */
async function lowRankOf(
  products: MatrixProducts,
  basis: KrylovBasis,
  { values, vectors }: Eigen,
  about: Pick<LowRank, 'energy'> & { readonly squaredNorm: number; readonly isWeighed: boolean },
): Promise<LowRank> {
  const { energy, squaredNorm, isWeighed } = about;
  const kept = vectors.length / values.length;
  const captured = values.slice(0, kept).map((value) => Math.max(0, value));
  const right = await products.combine(vectors, basis.projected);
  const held = isWeighed ? sumOfSquares(right.numbers) : sumOf(captured);
  return {
    left: await products.combine(vectors, basis.basis),
    right,
    singularValues: captured.map(Math.sqrt),
    energy,
    error: Math.sqrt(Math.max(0, squaredNorm - held)),
    norm: Math.sqrt(squaredNorm),
    basisSize: values.length,
  };
}

/** y·C for each row y. */
async function weigh(
  products: MatrixProducts,
  rows: Rows,
  { gram, damping }: InputWeights,
): Promise<Rows> {
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

/** ‖A·C^½‖² */
async function weighedNorm(
  products: MatrixProducts,
  matrix: MatrixSource,
  { gram, damping }: InputWeights,
  squaredNorm: number,
): Promise<number> {
  const rows = await products.read(matrix);
  if (!(gram instanceof Float64Array)) {
    return (await products.weighedSquares(rows, scaleGram(gram))) + damping * squaredNorm;
  }
  let sum = damping * squaredNorm;
  rows.numbers.forEach((x, i) => {
    sum += x * x * (gram[i % rows.length] ?? 0);
  });
  return sum;
}

/** The first `rank` directions of a matrix that was decomposed without weights. */
export function leading(found: LowRank, rank: number): LowRank {
  const { left, right, norm } = found;
  const singularValues = found.singularValues.slice(0, rank);
  return {
    ...found,
    left: firstRows(left, rank),
    right: firstRows(right, rank),
    singularValues,
    error: Math.sqrt(Math.max(0, norm ** 2 - sumOf(singularValues.map((x) => x ** 2)))),
  };
}

/** Rows 0 to `count`; they share its memory. */
export function firstRows({ length, numbers }: Rows, count: number): Rows {
  return { count, length, numbers: numbers.subarray(0, count * length) };
}

function sumOf(numbers: Float64Array): number {
  return numbers.reduce((sum, value) => sum + value, 0);
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
    basisSize: 0,
  };
}
