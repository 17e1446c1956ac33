import type { SquareMatrix } from './small-matrix';

/**
 * A Gram matrix G as s·W·s with ones on the diagonal of W: single inputs are so much larger than others that float32
 * products with G would lose what those weigh.
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
  const weights = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let i = 0; i < size; i++) {
      const scale = (scales[row] ?? 0) * (scales[i] ?? 0);
      weights[row * size + i] = scale === 0 ? 0 : (numbers[row * size + i] ?? 0) / scale;
    }
  }
  return { scales, weights };
}
