import { seededRandom } from '../data/random';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { MatrixSource, Rows } from '../linear-algebra/matrix-source';
import { matrixSizes } from '../linear-algebra/matrix-source';
import { scaleGram } from '../linear-algebra/symmetric-products';
import type { SquareMatrix } from '../linear-algebra/small-matrix';
import { sumOfSquares } from '../linear-algebra/small-matrix';
import { KrylovBasis } from './krylov-basis';
import { leadingEigen } from './leading-eigen';
import type { Eigen } from '../linear-algebra/symmetric-eigen';

export interface SvdOptions {
  readonly rank: number;
  readonly seed: number;
  /** Stops if another block would lower the squared residual by less than this share of it. */
  readonly tolerance?: number;
  /** C of the minimized error ‖(A − A′)·C^½‖; identity if absent. */
  readonly weights?: InputWeights;
}

/** Weights of directions of a matrix's inputs: a symmetric matrix that damping makes positive definite. */
export interface InputWeights {
  readonly gram: SquareMatrix | Float64Array;
  /** Added to the diagonal. */
  readonly damping: number;
}

/** A ≈ Σᵢ uᵢ·vᵢᵀ of a matrix [rows, columns]. */
export interface LowRank {
  /** Orthonormal left vectors uᵢ, where `length` is the number of rows of A. */
  readonly left: Rows;
  /** vᵢ = Aᵀ·uᵢ, where `length` is the number of columns of A; never divided by a singular value. */
  readonly right: Rows;
  /** σᵢ of A, or of A·C^½ if inputs are weighted, in descending order. */
  readonly singularValues: Float64Array;
  /** ‖A·C^½‖², whose kept part is Σ σ²; ‖A‖² without weights. */
  readonly energy: number;
  /** ‖A − Σ uᵢvᵢᵀ‖ (Frobenius), and ‖A‖. */
  readonly error: number;
  readonly norm: number;
  /** Vectors of the Krylov space; each took one matmul with A and one with Aᵀ. */
  readonly basisSize: number;
}

/** Basis vectors per rank, and additional ones. */
const [vectorsPerRank, oversampling] = [2, 64];
/** Blocks of the first basis: smaller ones gain more per vector, but run slower. */
const blocks = 16;
/**
 * Limits the excess error to about 0.3 %: all remaining blocks together gain up to ten times as much as the next one.
 */
const defaultTolerance = 5e-4;
/** Minimum distance of a Ritz value to the spectrum outside of the basis, as a share of the value. */
const least = 0.1;
/** Minimum singular value whose left vector is divided by it, as a share of the largest. */
const smallestShare = 1e-2;
/** Share of the total below which residuals are float32 rounding. */
const rounding = 1e-7;

/**
 * Randomized SVD by a block Krylov space (Musco and Musco 2015, arXiv 1504.05477, algorithm 2), with as many blocks as
 * the spectrum needs. The rank is limited by the matrix sizes. With weights C the space is that of A·C·Aᵀ, whose
 * eigenvectors u give the best A′ = Σ u·uᵀ·A, without a root or an inverse of C.
 * @throws UserError if the matrix contains NaN or infinity
 */
export async function randomizedSvd(
  products: MatrixProducts,
  matrix: MatrixSource,
  options: SvdOptions,
): Promise<LowRank> {
  const { rank, seed, weights, tolerance = defaultTolerance } = options;
  const { rows, columns } = matrixSizes(matrix);
  const smallest = Math.min(rows, columns);
  const numVectors = Math.min(rank, smallest);
  const squaredNorm = await products.squaredNorm(matrix);
  if (squaredNorm === 0) {
    return zeroMatrix(numVectors, rows, columns);
  }
  const whole =
    weights === undefined ? squaredNorm : await weighedNorm(products, matrix, weights, squaredNorm);
  const share = Math.ceil((vectorsPerRank * numVectors + oversampling) / blocks);
  // A full basis is best computed at once: the remainder for the last block would mostly be rounding errors.
  const isWhole = blocks * share >= smallest;
  if (isWhole && weights === undefined && smallest < rows) {
    const found = await fromColumns(products, matrix, numVectors, squaredNorm);
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
    const found = await leadingEigen(products, await basis.gram(), numVectors);
    // A basis as large as the matrix spans all of it.
    if (count === smallest || (await gain(basis, found, numVectors, whole)) < tolerance) {
      const isWeighed = weights !== undefined;
      return await toLowRank(products, basis, found, { energy: whole, squaredNorm, isWeighed });
    }
    count = Math.min(count + Math.ceil(numVectors / blockSize) * blockSize, smallest);
  }
}

/**
 * SVD from the Gram matrix of the columns in float64, for few columns: u = A·v / σ. Undefined if a singular value is so
 * small relative to the largest that rounding errors would show in u.
 */
async function fromColumns(
  products: MatrixProducts,
  matrix: MatrixSource,
  numVectors: number,
  squaredNorm: number,
): Promise<LowRank | undefined> {
  const { count: rows, length: columns, numbers } = await products.read(matrix);
  const gram = await products.crossProducts({ count: rows, length: columns, numbers });
  const found = await leadingEigen(products, { size: columns, numbers: gram }, numVectors);
  const values = found.values.slice(0, numVectors);
  if (!((values[numVectors - 1] ?? 0) > smallestShare ** 2 * (values[0] ?? 0))) {
    return undefined;
  }
  const singularValues = values.map(Math.sqrt);
  const times = (power: number): Rows => ({
    count: numVectors,
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
    error: Math.sqrt(Math.max(0, squaredNorm - sumValues(values))),
    norm: Math.sqrt(squaredNorm),
    basisSize: columns,
  };
}

/**
 * Share by which another block would lower the squared residual: Σ ρᵢ² / (θᵢ − τ), to second order, with residuals ρᵢ
 * of Ritz values θᵢ, and τ the mean eigenvalue outside of the basis.
 */
async function gain(
  basis: KrylovBasis,
  { values, vectors }: Eigen,
  numVectors: number,
  whole: number,
): Promise<number> {
  const residuals = await basis.squaredResiduals(vectors);
  const outside = (whole - sumValues(values)) / (basis.smallest - values.length);
  const floor = rounding * whole;
  let lowered = 0;
  for (let i = 0; i < numVectors; i++) {
    const value = values[i] ?? 0;
    lowered += (residuals[i] ?? 0) / Math.max(value - outside, least * value, floor);
  }
  return lowered / Math.max(whole - sumValues(values.subarray(0, numVectors)), floor);
}

/** Converts Ritz vectors to factors. */
async function toLowRank(
  products: MatrixProducts,
  basis: KrylovBasis,
  { values, vectors }: Eigen,
  about: Pick<LowRank, 'energy'> & { readonly squaredNorm: number; readonly isWeighed: boolean },
): Promise<LowRank> {
  const { energy, squaredNorm, isWeighed } = about;
  const numVectors = vectors.length / values.length;
  const captured = values.slice(0, numVectors).map((value) => Math.max(0, value));
  const right = await products.combine(vectors, basis.projected);
  const capturedSquares = isWeighed ? sumOfSquares(right.numbers) : sumValues(captured);
  return {
    left: await products.combine(vectors, basis.basis),
    right,
    singularValues: captured.map(Math.sqrt),
    energy,
    error: Math.sqrt(Math.max(0, squaredNorm - capturedSquares)),
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

/** First `rank` directions of a matrix that was decomposed without weights. */
export function leading(found: LowRank, rank: number): LowRank {
  const { left, right, norm } = found;
  const singularValues = found.singularValues.slice(0, rank);
  return {
    ...found,
    left: firstRows(left, rank),
    right: firstRows(right, rank),
    singularValues,
    error: Math.sqrt(Math.max(0, norm ** 2 - sumValues(singularValues.map((x) => x ** 2)))),
  };
}

/** Rows 0 to `count`, as a view. */
export function firstRows({ length, numbers }: Rows, count: number): Rows {
  return { count, length, numbers: numbers.subarray(0, count * length) };
}

function sumValues(numbers: Float64Array): number {
  return numbers.reduce((sum, value) => sum + value, 0);
}

function zeroMatrix(numVectors: number, rows: number, columns: number): LowRank {
  const left = new Float32Array(numVectors * rows);
  for (let i = 0; i < numVectors; i++) {
    left[i * rows + i] = 1;
  }
  return {
    left: { count: numVectors, length: rows, numbers: left },
    right: { count: numVectors, length: columns, numbers: new Float32Array(numVectors * columns) },
    singularValues: new Float64Array(numVectors),
    energy: 0,
    error: 0,
    norm: 0,
    basisSize: 0,
  };
}
