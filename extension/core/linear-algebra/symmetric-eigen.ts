import type { SquareMatrix } from './small-matrix';

/** Eigenvalues, largest first, and their orthonormal vectors as rows. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** A symmetric tridiagonal matrix. */
export interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Element i lies between rows i and i + 1; the last is 0. */
  readonly off: Float64Array;
}

/** T = P·A·Pᵀ with P the product of reflections I − factorₖ·vₖ·vₖᵀ, the last one first. */
export interface Reduction extends Tridiagonal {
  /** vₖ from element k + 1 on; those before are 0. */
  readonly reflections: readonly Float64Array[];
  readonly factors: Float64Array;
}

/** Sweeps that one eigenvalue may take; 2 are usual. */
const maxSweeps = 60;

/**
 * Eigenvalues and vectors of a symmetric matrix, of which the lower triangle is read: Householder
 * reduction and implicit QL (Golub and Van Loan, 4th edition, § 8.3). All inner loops run along rows.
 * @throws Error where the matrix holds NaN or infinity.
 */
export function symmetricEigen({ size, numbers }: SquareMatrix): Eigen {
  const scale = scaleOf({ size, numbers });
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

/** A power of two that brings the largest number near to 1, so that squares neither vanish nor overflow. */
export function scaleOf({ size, numbers }: SquareMatrix): number {
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

/** Householder reduction of a matrix, of which the lower triangle is read and overwritten. */
export function tridiagonalize(a: Float64Array, size: number): Reduction {
  const diagonal = new Float64Array(size);
  const off = new Float64Array(size);
  const factors = new Float64Array(size);
  const v = new Float64Array(size);
  const w = new Float64Array(size);
  const reflections: Float64Array[] = [];
  for (let k = 0; k < size - 2; k++) {
    let square = 0;
    for (let i = k + 1; i < size; i++) {
      const x = a[i * size + k] ?? 0;
      v[i] = x;
      square += x * x;
    }
    const first = v[k + 1] ?? 0;
    const norm = first > 0 ? -Math.sqrt(square) : Math.sqrt(square);
    off[k] = norm;
    v[k + 1] = first - norm;
    // ‖v‖² = 2·norm·(norm − first), and H = I − factor·v·vᵀ.
    const factor = norm === 0 ? 0 : 1 / (norm * (norm - first));
    factors[k] = factor;
    reflections.push(v.slice(k + 1));
    if (factor !== 0) {
      reflect(a, size, k + 1, factor, v, w);
    }
  }
  for (let i = 0; i < size; i++) {
    diagonal[i] = a[i * size + i] ?? 0;
  }
  if (size > 1) {
    off[size - 2] = a[(size - 1) * size + size - 2] ?? 0;
  }
  return { diagonal, off, reflections, factors };
}

/** A ← H·A·H on the rows and columns from `start`, of which the lower triangle is kept. */
function reflect(
  a: Float64Array,
  size: number,
  start: number,
  factor: number,
  v: Float64Array,
  w: Float64Array,
): void {
  w.fill(0, start);
  multiplySymmetric(a, size, start, v, w);
  let product = 0;
  for (let i = start; i < size; i++) {
    w[i] = (w[i] ?? 0) * factor;
    product += (w[i] ?? 0) * (v[i] ?? 0);
  }
  const half = (product * factor) / 2;
  for (let i = start; i < size; i++) {
    w[i] = (w[i] ?? 0) - half * (v[i] ?? 0);
  }
  subtractOuter(a, size, start, v, w);
}

/** A ← A − v·wᵀ − w·vᵀ on the rows and columns from `start`: two rows share what they read. */
function subtractOuter(
  a: Float64Array,
  size: number,
  start: number,
  v: Float64Array,
  w: Float64Array,
): void {
  const first = start + ((size - start) % 2);
  if (first > start) {
    const at = start * size + start;
    a[at] = (a[at] ?? 0) - 2 * (v[start] ?? 0) * (w[start] ?? 0);
  }
  for (let i = first; i < size; i += 2) {
    const row = i * size;
    const next = row + size;
    const v0 = v[i] ?? 0;
    const w0 = w[i] ?? 0;
    const v1 = v[i + 1] ?? 0;
    const w1 = w[i + 1] ?? 0;
    for (let j = start; j <= i; j++) {
      const vj = v[j] ?? 0;
      const wj = w[j] ?? 0;
      a[row + j] = (a[row + j] ?? 0) - v0 * wj - w0 * vj;
      a[next + j] = (a[next + j] ?? 0) - v1 * wj - w1 * vj;
    }
    const corner = next + i + 1;
    a[corner] = (a[corner] ?? 0) - 2 * v1 * w1;
  }
}

/** w ← w + A·v on the rows and columns from `start`: four rows share what they read of v and w. */
function multiplySymmetric(
  a: Float64Array,
  size: number,
  start: number,
  v: Float64Array,
  w: Float64Array,
): void {
  const first = start + ((size - start) % 4);
  multiplyTriangle(a, size, start, first, v, w);
  for (let i = first; i < size; i += 4) {
    const r0 = i * size;
    const r1 = r0 + size;
    const r2 = r1 + size;
    const r3 = r2 + size;
    const v0 = v[i] ?? 0;
    const v1 = v[i + 1] ?? 0;
    const v2 = v[i + 2] ?? 0;
    const v3 = v[i + 3] ?? 0;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let j = start; j < i; j++) {
      const vj = v[j] ?? 0;
      const x0 = a[r0 + j] ?? 0;
      const x1 = a[r1 + j] ?? 0;
      const x2 = a[r2 + j] ?? 0;
      const x3 = a[r3 + j] ?? 0;
      s0 += x0 * vj;
      s1 += x1 * vj;
      s2 += x2 * vj;
      s3 += x3 * vj;
      w[j] = (w[j] ?? 0) + x0 * v0 + x1 * v1 + x2 * v2 + x3 * v3;
    }
    w[i] = (w[i] ?? 0) + s0;
    w[i + 1] = (w[i + 1] ?? 0) + s1;
    w[i + 2] = (w[i + 2] ?? 0) + s2;
    w[i + 3] = (w[i + 3] ?? 0) + s3;
    multiplyTriangle(a, size, i, i + 4, v, w);
  }
}

/** w ← w + A·v on the rows and columns from `start` to `end`. */
function multiplyTriangle(
  a: Float64Array,
  size: number,
  start: number,
  end: number,
  v: Float64Array,
  w: Float64Array,
): void {
  for (let i = start; i < end; i++) {
    const row = i * size;
    const vi = v[i] ?? 0;
    let sum = (a[row + i] ?? 0) * vi;
    for (let j = start; j < i; j++) {
      const x = a[row + j] ?? 0;
      sum += x * (v[j] ?? 0);
      w[j] = (w[j] ?? 0) + x * vi;
    }
    w[i] = (w[i] ?? 0) + sum;
  }
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

/** Rotates T to a diagonal matrix, and the rows of its basis with it where there is one. */
export function diagonalize(
  { diagonal: d, off: e }: Tridiagonal,
  size: number,
  basis?: Float64Array,
): void {
  for (let low = 0; low < size; low++) {
    for (let sweep = 0; ; sweep++) {
      const high = endOfBlock(d, e, low, size);
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

/** The first row from `low` on whose element to the next one is negligible. */
function endOfBlock(d: Float64Array, e: Float64Array, low: number, size: number): number {
  let high = low;
  while (high < size - 1) {
    const around = Math.abs(d[high] ?? 0) + Math.abs(d[high + 1] ?? 0);
    if (Math.abs(e[high] ?? 0) <= Number.EPSILON * around) {
      break;
    }
    high++;
  }
  return high;
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
  const root = Math.hypot(g, 1);
  g = (d[high] ?? 0) - (d[low] ?? 0) + next / (g + (g >= 0 ? root : -root));
  let [sine, cosine, moved] = [1, 1, 0];
  for (let i = high - 1; i >= low; i--) {
    const f = sine * (e[i] ?? 0);
    const b = cosine * (e[i] ?? 0);
    const radius = Math.hypot(f, g);
    e[i + 1] = radius;
    if (radius === 0) {
      // The matrix splits here by underflow: the rest is for the next step.
      d[i + 1] = (d[i + 1] ?? 0) - moved;
      e[high] = 0;
      return;
    }
    sine = f / radius;
    cosine = g / radius;
    g = (d[i + 1] ?? 0) - moved;
    const turned = ((d[i] ?? 0) - g) * sine + 2 * cosine * b;
    moved = sine * turned;
    d[i + 1] = g + moved;
    g = cosine * turned - b;
    if (basis !== undefined) {
      rotate(basis, i * size, size, cosine, sine);
    }
  }
  d[low] = (d[low] ?? 0) - moved;
  e[low] = g;
  e[high] = 0;
}

/** Rotates the row at `start` and the one behind it. */
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
