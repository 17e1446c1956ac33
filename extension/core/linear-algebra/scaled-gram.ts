import type { SquareMatrix } from './small-matrix';

/**
 * Gram matrix G as s·W·s with ones on the diagonal of W. Some inputs are several orders of magnitude larger than
 * others, and float32 matmuls with G would lose the small ones.
 */
export interface ScaledGram {
  readonly scales: Float32Array;
  /** [size, size] */
  readonly weights: Float32Array;
}

export function scaleGram({ size, numbers }: SquareMatrix): ScaledGram {
  const scales = Float32Array.from({ length: size }, (_, i) =>
    Math.sqrt(numbers[i * (size + 1)] ?? 0),
  );
  const inverses = Float64Array.from(scales, (x) => (x === 0 ? 0 : 1 / x));
  const weights = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let i = 0, at = row * size; i < size; i++, at++) {
      weights[at] = (numbers[at] ?? 0) * (inverses[row] ?? 0) * (inverses[i] ?? 0);
    }
  }
  return { scales, weights };
}
