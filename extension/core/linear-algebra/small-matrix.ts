/** A square matrix in float64, row by row. */
export interface SquareMatrix {
  readonly size: number;
  readonly numbers: Float64Array;
}

/**
 * Lower triangular L with G = L·Lᵀ (Cholesky), or undefined where G is not positive definite in
 * float64.
 */
export function cholesky({ size, numbers }: SquareMatrix): SquareMatrix | undefined {
  const lower = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const start = row * size;
    for (let column = 0; column <= row; column++) {
      const other = column * size;
      let sum = numbers[start + column] ?? 0;
      for (let k = 0; k < column; k++) {
        sum -= (lower[start + k] ?? 0) * (lower[other + k] ?? 0);
      }
      if (row > column) {
        lower[start + column] = sum / (lower[other + column] ?? 1);
      } else if (sum > 0) {
        lower[start + row] = Math.sqrt(sum);
      } else {
        return undefined;
      }
    }
  }
  return { size, numbers: lower };
}

/** L⁻¹ of a lower triangular matrix. */
export function invertLower({ size, numbers }: SquareMatrix): SquareMatrix {
  const inverse = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const start = row * size;
    const diagonal = numbers[start + row] ?? 1;
    const target = inverse.subarray(start, start + size);
    target[row] = 1;
    // Row by row, so that memory is read in order: row − Σ L[row, k]·inverse[k], over the diagonal.
    for (let k = 0; k < row; k++) {
      const factor = numbers[start + k] ?? 0;
      if (factor !== 0) {
        const earlier = k * size;
        for (let column = 0; column <= k; column++) {
          target[column] = (target[column] ?? 0) - factor * (inverse[earlier + column] ?? 0);
        }
      }
    }
    for (let column = 0; column <= row; column++) {
      target[column] = (target[column] ?? 0) / diagonal;
    }
  }
  return { size, numbers: inverse };
}

/** A copy, for what replaces a matrix. */
export function copyOf({ size, numbers }: SquareMatrix): SquareMatrix {
  return { size, numbers: numbers.slice() };
}

/** G + share·tr(G)·I, which is positive definite where G is positive semidefinite up to rounding. */
export function shifted({ size, numbers }: SquareMatrix, share: number): SquareMatrix {
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
