import type { MatrixProducts } from './matrix-products';
import { cholesky, invertLower } from './small-matrix';
import type { SquareMatrix } from './small-matrix';

/** Columns that are factored at once; smaller matrices take one step. */
const blockSize = 256;

/**
 * Cholesky factor of a matrix, of which the lower triangle is read and which it replaces; undefined
 * where it is not positive definite. Block columns from left to right, the products in ONNX Runtime
 * (Golub and Van Loan, 4th edition, § 4.2.9).
 */
export async function choleskyBlocked(
  products: MatrixProducts,
  { size, numbers }: SquareMatrix,
): Promise<SquareMatrix | undefined> {
  for (let start = 0; start < size; start += blockSize) {
    const width = Math.min(blockSize, size - start);
    const below = size - start;
    const panel = columnsOf(numbers, size, start, width);
    if (start > 0) {
      // A[start:, block] −= L[start:, :start] · L[block, :start]ᵀ
      const known = await products.leadingInner(numbers.subarray(start * size), size, width, start);
      for (let i = 0; i < panel.length; i++) {
        panel[i] = (panel[i] ?? 0) - (known[i] ?? 0);
      }
    }
    const factor = cholesky({ size: width, numbers: panel.subarray(0, width * width) });
    if (factor === undefined) {
      return undefined;
    }
    // The panel times the inverse of its square is L there; in the square itself, but for rounding.
    const solved =
      below === width
        ? factor.numbers
        : await products.multiplyTransposed(panel, width, invertLower(factor).numbers);
    solved.set(factor.numbers);
    for (let row = 0; row < below; row++) {
      numbers.set(solved.subarray(row * width, (row + 1) * width), (start + row) * size + start);
    }
  }
  for (let i = 0; i < size; i++) {
    numbers.fill(0, i * size + i + 1, (i + 1) * size);
  }
  return { size, numbers };
}

/** Columns `start` to `start + width` of the rows from `start` on. */
function columnsOf(
  numbers: Float64Array,
  size: number,
  start: number,
  width: number,
): Float64Array {
  const panel = new Float64Array((size - start) * width);
  for (let row = start; row < size; row++) {
    const at = row * size + start;
    panel.set(numbers.subarray(at, at + width), (row - start) * width);
  }
  return panel;
}
