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
