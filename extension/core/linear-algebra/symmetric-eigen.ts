import { reduceToTridiagonal } from './kernels';
import type { SquareMatrix } from './small-matrix';

/** Eigenvalues in descending order, and their orthonormal eigenvectors as rows. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** A symmetric tridiagonal matrix. */
export interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Off-diagonal: element i is between rows i and i + 1; the last is 0. */
  readonly off: Float64Array;
}

/** T = P·A·Pᵀ with P the product of reflections I − factorₖ·vₖ·vₖᵀ, the last one first. */
export interface Reduction extends Tridiagonal {
  /** vₖ from element k + 1; earlier elements are 0. */
  readonly reflections: readonly Float64Array[];
  readonly factors: Float64Array;
}

/** Maximum number of sweeps per eigenvalue; 2 are typical. */
const maxSweeps = 60;

/** Sums of squares below this may have underflowed; matrices are scaled so that none overflows. */
const leastSquare = 1e-280;

/**
 * Eigenvalues and eigenvectors of a symmetric matrix given by its lower triangle: Householder reduction and implicit QL
 * (Golub and Van Loan, 4th edition, § 8.3). All inner loops run along rows.
 * @throws Error if the matrix contains NaN or infinity
 */
export function symmetricEigen({ size, numbers }: SquareMatrix): Eigen {
  const scale = normalizingScale({ size, numbers });
  const reduced = tridiagonalize(
    numbers.map((x) => x * scale),
    size,
  );
  const basis = accumulate(reduced, size);
  diagonalize(reduced, size, basis);
  const { diagonal } = reduced;
  const order = Array.from(diagonal.keys()).sort((a, b) => (diagonal[b] ?? 0) - (diagonal[a] ?? 0));
  const vectors = new Float64Array(size * size);
  order.forEach((from, to) => {
    vectors.set(basis.subarray(from * size, (from + 1) * size), to * size);
  });
  return { values: Float64Array.from(order, (i) => (diagonal[i] ?? 0) / scale), vectors };
}

/** Power of two that scales the largest element to about 1, so that squares neither underflow nor overflow. */
export function normalizingScale({ size, numbers }: SquareMatrix): number {
  let largest = 0;
  for (let row = 0; row < size; row++) {
    for (let i = row * size; i <= row * size + row; i++) {
      largest = Math.max(largest, Math.abs(numbers[i] ?? 0));
    }
  }
  if (!Number.isFinite(largest)) {
    throw new Error('a matrix with NaN or infinite numbers has no eigenvalues');
  }
  return largest === 0 ? 1 : 2 ** -Math.max(-1000, Math.floor(Math.log2(largest)));
}

/** Householder reduction of a matrix. Reads its lower triangle and overwrites it with the reflections. */
export function tridiagonalize(a: Float64Array, size: number): Reduction {
  const [off, factors] = [new Float64Array(size), new Float64Array(size)];
  reduceToTridiagonal(size, a, off, factors);
  return {
    diagonal: a.filter((_, i) => i % (size + 1) === 0),
    off,
    reflections: Array.from({ length: Math.max(0, size - 2) }, (_, k) =>
      a.subarray(k * size + k + 1, (k + 1) * size),
    ),
    factors,
  };
}

/** Rows of the product of all reflections, the last one first. */
function accumulate({ reflections, factors }: Reduction, size: number): Float64Array {
  const basis = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    basis[i * size + i] = 1;
  }
  for (let k = reflections.length - 1; k >= 0; k--) {
    const v = reflections[k] ?? new Float64Array();
    const factor = factors[k] ?? 0;
    const start = k + 1;
    for (let i = start; factor !== 0 && i < size; i++) {
      const row = basis.subarray(i * size + start, (i + 1) * size);
      let product = 0;
      for (let j = 0; j < row.length; j++) {
        product += (row[j] ?? 0) * (v[j] ?? 0);
      }
      product *= factor;
      for (let j = 0; j < row.length; j++) {
        row[j] = (row[j] ?? 0) - product * (v[j] ?? 0);
      }
    }
  }
  return basis;
}

/** Rotates T to a diagonal matrix, and applies the rotations to the rows of the basis if given. */
export function diagonalize(
  { diagonal: d, off: e }: Tridiagonal,
  size: number,
  basis?: Float64Array,
): void {
  // Elements that are negligible relative to the finished rows are rounding errors; compared with neighbors, they might
  // never vanish.
  let done = 0;
  for (let low = 0; low < size; low++) {
    done = Math.max(done, Math.abs(d[low] ?? 0) + Math.abs(e[low] ?? 0));
    for (let sweep = 0; ; sweep++) {
      const high = findBlockEnd(d, e, low, size, done);
      if (high === low) {
        break;
      }
      if (sweep === maxSweeps) {
        throw new Error('the eigenvalues of a matrix could not be found');
      }
      sweepBlock(d, e, basis, size, low, high);
    }
  }
}

/** First row from `low` whose off-diagonal is negligible relative to its neighbors or to `done`. */
function findBlockEnd(
  d: Float64Array,
  e: Float64Array,
  low: number,
  size: number,
  done: number,
): number {
  let high = low;
  while (high < size - 1) {
    const around = Math.abs(d[high] ?? 0) + Math.abs(d[high + 1] ?? 0);
    if (Math.abs(e[high] ?? 0) <= Number.EPSILON * Math.max(around, done)) {
      break;
    }
    high++;
  }
  return high;
}

/** √(x² + y²). Math.hypot takes ten times as long, and is only needed if squares underflow. */
function norm2(x: number, y: number): number {
  const square = x * x + y * y;
  return square > leastSquare ? Math.sqrt(square) : Math.hypot(x, y);
}

/** One implicit QL step with Wilkinson's shift on rows `low` to `high`. */
function sweepBlock(
  d: Float64Array,
  e: Float64Array,
  basis: Float64Array | undefined,
  size: number,
  low: number,
  high: number,
): void {
  const next = e[low] ?? 0;
  let g = ((d[low + 1] ?? 0) - (d[low] ?? 0)) / (2 * next);
  const root = norm2(g, 1);
  g = (d[high] ?? 0) - (d[low] ?? 0) + next / (g + (g >= 0 ? root : -root));
  let [sine, cosine, moved] = [1, 1, 0];
  for (let i = high - 1; i >= low; i--) {
    const f = sine * (e[i] ?? 0);
    const b = cosine * (e[i] ?? 0);
    const radius = norm2(f, g);
    e[i + 1] = radius;
    if (radius === 0) {
      // The matrix splits here because of underflow; the next step continues with the remaining rows.
      d[i + 1] = (d[i + 1] ?? 0) - moved;
      e[high] = 0;
      return;
    }
    sine = f / radius;
    cosine = g / radius;
    g = (d[i + 1] ?? 0) - moved;
    const rotated = ((d[i] ?? 0) - g) * sine + 2 * cosine * b;
    moved = sine * rotated;
    d[i + 1] = g + moved;
    g = cosine * rotated - b;
    if (basis !== undefined) {
      rotate(basis, i * size, size, cosine, sine);
    }
  }
  d[low] = (d[low] ?? 0) - moved;
  e[low] = g;
  e[high] = 0;
}

/** Rotates the row at `start` and the next one. */
function rotate(
  basis: Float64Array,
  start: number,
  size: number,
  cosine: number,
  sine: number,
): void {
  const upper = basis.subarray(start, start + size);
  const lower = basis.subarray(start + size, start + 2 * size);
  for (let k = 0; k < size; k++) {
    const a = upper[k] ?? 0;
    const b = lower[k] ?? 0;
    upper[k] = cosine * a - sine * b;
    lower[k] = sine * a + cosine * b;
  }
}
