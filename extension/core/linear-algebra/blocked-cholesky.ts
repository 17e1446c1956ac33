import type { MatrixProducts } from './matrix-products';
import { cholesky, invertLower } from './small-matrix';
import type { SquareMatrix } from './small-matrix';

/** Columns per block; smaller matrices take one step. */
const blockSize = 128;

/**
 * Replaces a matrix, given by its lower triangle, by its Cholesky factor; returns undefined if it isn't positive
 * definite. Block columns from left to right; the matmuls run in ONNX Runtime (Golub and Van Loan, 4th edition, §
 * 4.2.9).
 */
export async function choleskyBlocked(
  products: MatrixProducts,
  { size, numbers }: SquareMatrix,
): Promise<SquareMatrix | undefined> {
  for (let start = 0; start < size; start += blockSize) {
    const width = Math.min(blockSize, size - start);
    const below = size - start;
    const panel = copyPart({ size, numbers }, start, start, below, width);
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
    // The panel times the inverse of its square block is L; equals L up to rounding in the square block itself.
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

/**
 * L⁻¹ of a lower triangular matrix. With the blocks A and C on the diagonal and B below A, the inverse has A⁻¹, C⁻¹ and
 * −C⁻¹·B·A⁻¹ at the same positions. Large matmuls run in ONNX Runtime.
 */
export async function invertLowerBlocked(
  products: MatrixProducts,
  lower: SquareMatrix,
): Promise<SquareMatrix> {
  const { size } = lower;
  if (size <= blockSize) {
    return invertLower(lower);
  }
  const half = Math.ceil(size / 2);
  const part = (row: number, column: number, height: number, width: number): Float64Array =>
    copyPart(lower, row, column, height, width);
  const rest = size - half;
  const first = await invertLowerBlocked(products, {
    size: half,
    numbers: part(0, 0, half, half),
  });
  const last = await invertLowerBlocked(products, {
    size: rest,
    numbers: part(half, half, rest, rest),
  });
  const along = await products.multiply(part(half, 0, rest, half), half, first.numbers);
  const below = await products.multiply(last.numbers, rest, along);
  const numbers = new Float64Array(size * size);
  for (let row = 0; row < half; row++) {
    numbers.set(first.numbers.subarray(row * half, (row + 1) * half), row * size);
  }
  for (let row = 0; row < rest; row++) {
    const start = (half + row) * size;
    for (let i = 0; i < half; i++) {
      numbers[start + i] = -(below[row * half + i] ?? 0);
    }
    numbers.set(last.numbers.subarray(row * rest, (row + 1) * rest), start + half);
  }
  return { size, numbers };
}

/** Copies `height` rows of `width` elements, from `row` and `column`. */
function copyPart(
  { size, numbers }: SquareMatrix,
  row: number,
  column: number,
  height: number,
  width: number,
): Float64Array {
  const part = new Float64Array(height * width);
  for (let i = 0; i < height; i++) {
    const at = (row + i) * size + column;
    part.set(numbers.subarray(at, at + width), i * width);
  }
  return part;
}
