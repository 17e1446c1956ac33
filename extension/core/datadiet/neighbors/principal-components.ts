import type { Rows } from '../../linear-algebra/matrix-source';
import { symmetricEigen } from '../../linear-algebra/symmetric-eigen';

/** Variance relative to the largest one below which a component is rounding error. */
const minVariance = 1e-9;

/**
 * Principal component analysis: centered rows projected on the axes of largest variance, in descending order.
 * @param most maximum number of axes; fewer if the remaining variance is 0
 */
export function principalComponents({ count, length, numbers }: Rows, most: number): Rows {
  const mean = new Float64Array(length);
  for (let i = 0; i < numbers.length; i++) {
    mean[i % length] = (mean[i % length] ?? 0) + (numbers[i] ?? 0) / count;
  }
  const centered = numbers.map((x, i) => x - (mean[i % length] ?? 0));
  const { values, vectors } = symmetricEigen({ size: length, numbers: products(centered, length) });
  const least = minVariance * (values[0] ?? 0);
  const axes = Math.max(1, values.subarray(0, most).filter((value) => value > least).length);
  const projected = new Float32Array(count * axes);
  for (let row = 0; row < count; row++) {
    for (let axis = 0; axis < axes; axis++) {
      let sum = 0;
      for (let i = 0; i < length; i++) {
        sum += (centered[row * length + i] ?? 0) * (vectors[axis * length + i] ?? 0);
      }
      projected[row * axes + axis] = sum;
    }
  }
  return { count, length: axes, numbers: projected };
}

/** Lower triangle of Σ xᵀ·x over all rows x. */
function products(numbers: Float32Array, length: number): Float64Array {
  const sums = new Float64Array(length * length);
  for (let start = 0; start < numbers.length; start += length) {
    for (let i = 0; i < length; i++) {
      const x = numbers[start + i] ?? 0;
      for (let j = 0; j <= i; j++) {
        const at = i * length + j;
        sums[at] = (sums[at] ?? 0) + x * (numbers[start + j] ?? 0);
      }
    }
  }
  return sums;
}
