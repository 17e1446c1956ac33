import { choleskyInPlace, invertLowerTriangle } from './kernels';

/** A square matrix in float64, row-major. */
export interface SquareMatrix {
  readonly size: number;
  readonly numbers: Float64Array;
}

/** Lower triangular L with G = L·Lᵀ (Cholesky), or undefined if G isn't positive definite in float64. */
export function cholesky({ size, numbers }: SquareMatrix): SquareMatrix | undefined {
  const lower = numbers.slice();
  if (!choleskyInPlace(size, lower)) {
    return undefined;
  }
  for (let row = 0; row < size; row++) {
    lower.fill(0, row * size + row + 1, (row + 1) * size);
  }
  return { size, numbers: lower };
}

/** L⁻¹ of a lower triangular matrix. */
export function invertLower({ size, numbers }: SquareMatrix): SquareMatrix {
  return { size, numbers: invertLowerTriangle(size, numbers) };
}

/** Copies a matrix that is going to be overwritten. */
export function copyMatrix({ size, numbers }: SquareMatrix): SquareMatrix {
  return { size, numbers: numbers.slice() };
}

/** G + share·tr(G)·I, which is positive definite if G is positive semidefinite up to rounding. */
export function shiftDiagonal({ size, numbers }: SquareMatrix, share: number): SquareMatrix {
  const moved = Float64Array.from(numbers);
  const shift = share * trace({ size, numbers });
  for (let i = 0; i < size; i++) {
    moved[i * size + i] = (moved[i * size + i] ?? 0) + shift;
  }
  return { size, numbers: moved };
}

export function trace({ size, numbers }: SquareMatrix): number {
  let sum = 0;
  for (let i = 0; i < size; i++) {
    sum += numbers[i * size + i] ?? 0;
  }
  return sum;
}

/** Σ x², added in float64. Looping over single values instead of pairs takes ten times as long. */
export function sumOfSquares(numbers: Float32Array): number {
  let [even, odd] = [0, 0];
  for (let i = 0; i < numbers.length; i += 2) {
    even += (numbers[i] ?? 0) ** 2;
    odd += (numbers[i + 1] ?? 0) ** 2;
  }
  return even + odd;
}

/** ‖ŷ − y‖² / ‖y‖²; ‖ŷ‖² if y is 0. */
export function relativeSquares(found: Float32Array, wanted: Float32Array): number {
  let [difference, whole] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const y = wanted[i] ?? 0;
    difference += ((found[i] ?? 0) - y) ** 2;
    whole += y * y;
  }
  return whole > 0 ? difference / whole : difference;
}

/** √(mean x²); 0 for an empty array. */
export function rootMeanSquare(numbers: Float32Array): number {
  return Math.sqrt(sumOfSquares(numbers) / Math.max(1, numbers.length));
}
