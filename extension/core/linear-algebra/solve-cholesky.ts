import type { MatrixProducts } from './matrix-products';
import type { SquareMatrix } from './small-matrix';

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
