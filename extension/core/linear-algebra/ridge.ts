import { choleskyBlocked } from './blocked-cholesky';
import type { MatrixProducts } from './matrix-products';
import type { Rows } from './matrix-source';
import { shiftDiagonal } from './small-matrix';
import type { SquareMatrix } from './small-matrix';

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

/** Rows solved by substitution; everything between such blocks is a matmul. */
const blockSize = 64;

/**
 * Solves L·Lᵀ·X = B and replaces B [size, columns] by X: L·Y = B from the first rows, then Lᵀ·X = Y from the last.
 * Blocks of rows by substitution, the matmuls with known rows in ONNX Runtime (Golub and Van Loan, 4th edition, §
 * 3.1.4). Forms no inverse.
 * @param lower L, lower triangular with a positive diagonal
 */
export async function solveCholesky(
  products: MatrixProducts,
  lower: SquareMatrix,
  right: Float64Array,
): Promise<Float64Array> {
  const { size } = lower;
  const columns = right.length / size;
  const rows = (from: number, to: number): Float64Array =>
    right.subarray(from * columns, to * columns);
  for (let start = 0; start < size; start += blockSize) {
    const end = Math.min(size, start + blockSize);
    if (start > 0) {
      const factors = copyBlock(lower, [start, end], [0, start]);
      subtract(rows(start, end), await products.multiply(factors, start, rows(0, start)));
    }
    substituteForward(lower, start, end, rows);
  }
  for (let start = size - (size % blockSize || blockSize); start >= 0; start -= blockSize) {
    const end = Math.min(size, start + blockSize);
    if (end < size) {
      const factors = copyTransposedBlock(lower, [end, size], [start, end]);
      subtract(rows(start, end), await products.multiply(factors, size - end, rows(end, size)));
    }
    substituteBackward(lower, start, end, rows);
  }
  return right;
}

type Range = readonly [from: number, to: number];
type RowsOf = (from: number, to: number) => Float64Array;

function substituteForward(lower: SquareMatrix, start: number, end: number, rows: RowsOf): void {
  for (let row = start; row < end; row++) {
    const target = rows(row, row + 1);
    for (let known = start; known < row; known++) {
      subtract(target, rows(known, known + 1), entry(lower, row, known));
    }
    divide(target, entry(lower, row, row));
  }
}

function substituteBackward(lower: SquareMatrix, start: number, end: number, rows: RowsOf): void {
  for (let row = end - 1; row >= start; row--) {
    const target = rows(row, row + 1);
    for (let known = row + 1; known < end; known++) {
      subtract(target, rows(known, known + 1), entry(lower, known, row));
    }
    divide(target, entry(lower, row, row));
  }
}

function entry({ size, numbers }: SquareMatrix, row: number, column: number): number {
  return numbers[row * size + column] ?? 0;
}

/** target ← target − factor·other. */
function subtract(target: Float64Array, other: Float64Array, factor = 1): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = (target[i] ?? 0) - factor * (other[i] ?? 0);
  }
}

function divide(target: Float64Array, divisor: number): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = (target[i] ?? 0) / divisor;
  }
}

function copyBlock({ size, numbers }: SquareMatrix, rows: Range, columns: Range): Float64Array {
  const width = columns[1] - columns[0];
  const block = new Float64Array((rows[1] - rows[0]) * width);
  for (let row = rows[0]; row < rows[1]; row++) {
    const from = row * size;
    block.set(numbers.subarray(from + columns[0], from + columns[1]), (row - rows[0]) * width);
  }
  return block;
}

/** Copies the block of the transposed matrix. */
function copyTransposedBlock(
  { size, numbers }: SquareMatrix,
  rows: Range,
  columns: Range,
): Float64Array {
  const count = rows[1] - rows[0];
  const block = new Float64Array(count * (columns[1] - columns[0]));
  for (let row = 0; row < count; row++) {
    const from = (rows[0] + row) * size + columns[0];
    for (let column = 0; column < columns[1] - columns[0]; column++) {
      block[column * count + row] = numbers[from + column] ?? 0;
    }
  }
  return block;
}
