import { seededRandom, standardNormal } from '../data/random';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import { choleskyBlocked, invertLowerBlocked } from '../linear-algebra/blocked-cholesky';
import { copyMatrix, shiftDiagonal } from '../linear-algebra/small-matrix';
import type { SquareMatrix } from '../linear-algebra/small-matrix';
import {
  diagonalize,
  normalizingScale,
  symmetricEigen,
  tridiagonalize,
} from '../linear-algebra/symmetric-eigen';
import type { Eigen, Reduction, Tridiagonal } from '../linear-algebra/symmetric-eigen';

/** Size below which the full eigendecomposition is computed. */
const smallSize = 96;
/** Steps of inverse iteration; more would align the vectors of close eigenvalues. */
const iterations = 2;
/** Tolerance of inner products of orthonormal vectors. */
const skew = 1e-13;
const maxPasses = 4;
/** Added to a Gram matrix that isn't positive definite, as a share of its trace. */
const shift = 1e-14;
/** Reflections applied at once. */
const blockSize = 64;

/**
 * Largest `count` eigenvalues of a symmetric matrix with their eigenvectors, and all its eigenvalues: Householder
 * reduction, QL for the values, inverse iteration for the vectors, which are then orthonormalized by Cholesky of their
 * Gram matrix (Golub and Van Loan, 4th edition, § 8.2 and § 8.3). Large matmuls run in ONNX Runtime.
 */
export async function leadingEigen(
  products: MatrixProducts,
  matrix: SquareMatrix,
  count: number,
): Promise<Eigen> {
  const { size, numbers } = matrix;
  if (size <= smallSize) {
    const { values, vectors } = symmetricEigen(matrix);
    return { values, vectors: vectors.subarray(0, count * size) };
  }
  const scale = normalizingScale(matrix);
  const reduced = tridiagonalize(
    numbers.map((x) => x * scale),
    size,
  );
  const rotated = { diagonal: reduced.diagonal.slice(), off: reduced.off.slice() };
  diagonalize(rotated, size);
  const values = rotated.diagonal.sort().reverse();
  const vectors = new Float64Array(count * size);
  const random = seededRandom(size);
  for (let i = 0; i < count; i++) {
    const vector = vectors.subarray(i * size, (i + 1) * size);
    for (let j = 0; j < size; j++) {
      vector[j] = standardNormal(random);
    }
    iterateInversely(reduced, values[i] ?? 0, vector);
  }
  const orthonormalized = await orthonormal(products, vectors, size);
  return {
    values: values.map((value) => value / scale),
    vectors: await reflectBack(products, orthonormalized, size, reduced),
  };
}

/** Replaces a vector by an eigenvector of T: solves (T − value·I)·y = x repeatedly. */
function iterateInversely(tridiagonal: Tridiagonal, value: number, vector: Float64Array): void {
  const factors = factorize(tridiagonal, value);
  for (let iteration = 0; iteration < iterations; iteration++) {
    solveWith(factors, vector);
    // Normalizes the largest element to 1 first: squares of solutions may overflow.
    let largest = 0;
    for (let i = vector.length - 1; i >= 0; i--) {
      largest = Math.max(largest, Math.abs(vector[i] ?? 0));
    }
    let square = 0;
    for (let i = 0; i < vector.length; i++) {
      const x = (vector[i] ?? 0) / largest;
      vector[i] = x;
      square += x * x;
    }
    const norm = Math.sqrt(square);
    for (let i = 0; i < vector.length; i++) {
      vector[i] = (vector[i] ?? 0) / norm;
    }
  }
}

/** P·(T − value·I) = L·U with pairwise row exchanges; U has two superdiagonals. */
interface TridiagonalFactors {
  readonly pivots: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
  readonly multipliers: Float64Array;
  readonly isExchanged: Uint8Array;
}

/** Gaussian elimination with partial pivoting. A pivot of 0 is replaced by machine epsilon. */
function factorize({ diagonal, off }: Tridiagonal, value: number): TridiagonalFactors {
  const size = diagonal.length;
  const pivots = diagonal.map((x) => x - value);
  const first = off.slice();
  const second = new Float64Array(size);
  const multipliers = new Float64Array(size);
  const isExchanged = new Uint8Array(size);
  // The matrix is scaled so that its largest element is about 1.
  const least = Number.EPSILON;
  for (let i = 0; i < size - 1; i++) {
    const below = off[i] ?? 0;
    const pivot = pivots[i] ?? 0;
    const next = pivots[i + 1] ?? 0;
    if (Math.abs(below) > Math.abs(pivot)) {
      const factor = pivot / below;
      const above = first[i] ?? 0;
      isExchanged[i] = 1;
      multipliers[i] = factor;
      pivots[i] = below;
      first[i] = next;
      second[i] = first[i + 1] ?? 0;
      pivots[i + 1] = above - factor * next;
      first[i + 1] = -factor * (second[i] ?? 0);
    } else {
      const divisor = Math.abs(pivot) < least ? least : pivot;
      const factor = below / divisor;
      pivots[i] = divisor;
      multipliers[i] = factor;
      pivots[i + 1] = next - factor * (first[i] ?? 0);
    }
  }
  if (Math.abs(pivots[size - 1] ?? 0) < least) {
    pivots[size - 1] = least;
  }
  return { pivots, first, second, multipliers, isExchanged };
}

function solveWith(factors: TridiagonalFactors, x: Float64Array): void {
  const { pivots, first, second, multipliers, isExchanged } = factors;
  const size = x.length;
  for (let i = 0; i < size - 1; i++) {
    const [here, next] = [x[i] ?? 0, x[i + 1] ?? 0];
    const factor = multipliers[i] ?? 0;
    if (isExchanged[i] === 1) {
      x[i] = next;
      x[i + 1] = here - factor * next;
    } else {
      x[i + 1] = next - factor * here;
    }
  }
  for (let i = size - 1; i >= 0; i--) {
    const known = (first[i] ?? 0) * (x[i + 1] ?? 0) + (second[i] ?? 0) * (x[i + 2] ?? 0);
    x[i] = ((x[i] ?? 0) - known) / (pivots[i] ?? 1);
  }
}

/** Orthonormalizes rows that are nearly orthonormal except for close eigenvalues. */
async function orthonormal(
  products: MatrixProducts,
  vectors: Float64Array,
  size: number,
): Promise<Float64Array> {
  const count = vectors.length / size;
  let result = vectors;
  for (let pass = 0; pass < maxPasses; pass++) {
    const numbers = await products.multiplyTransposed(result, size, result);
    if (numbers.every((x, i) => Math.abs(x - (i % (count + 1) === 0 ? 1 : 0)) < skew)) {
      break;
    }
    const gram = { size: count, numbers };
    let lower = await choleskyBlocked(products, copyMatrix(gram));
    for (let share = shift; lower === undefined; share *= 10) {
      lower = await choleskyBlocked(products, shiftDiagonal(gram, share));
    }
    const { numbers: inverse } = await invertLowerBlocked(products, lower);
    result = await products.multiply(inverse, count, result);
  }
  return result;
}

/** Transforms eigenvectors y of T to those of A: y·P, a block of reflections at a time (§ 5.1.7). */
async function reflectBack(
  products: MatrixProducts,
  rows: Float64Array,
  size: number,
  { reflections, factors }: Reduction,
): Promise<Float64Array> {
  const result = rows;
  for (let end = reflections.length; end > 0; end -= blockSize) {
    const start = Math.max(0, end - blockSize);
    const count = end - start;
    const block = new Float64Array(count * size);
    for (let k = start; k < end; k++) {
      block.set(reflections[k] ?? [], (k - start) * size + k + 1);
    }
    // The product of reflections, the last one first, is I − Vᵀ·Tᵀ·V with rows V.
    const inner = await products.multiplyTransposed(block, size, block);
    const triangle = blockReflector(inner, factors.subarray(start, end));
    const along = await products.multiplyTransposed(result, size, block);
    const weighed = await products.multiplyTransposed(along, count, triangle);
    const change = await products.multiply(weighed, count, block);
    for (let i = 0; i < result.length; i++) {
      result[i] = (result[i] ?? 0) - (change[i] ?? 0);
    }
  }
  return result;
}

/** Upper triangular T with H₁·H₂·… = I − Vᵀ·T·V for reflections along the rows of V. */
function blockReflector(inner: Float64Array, factors: Float64Array): Float64Array {
  const count = factors.length;
  const triangle = new Float64Array(count * count);
  for (let j = 0; j < count; j++) {
    const factor = factors[j] ?? 0;
    triangle[j * count + j] = factor;
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let k = i; k < j; k++) {
        sum += (triangle[i * count + k] ?? 0) * (inner[k * count + j] ?? 0);
      }
      triangle[i * count + j] = -factor * sum;
    }
  }
  return triangle;
}
