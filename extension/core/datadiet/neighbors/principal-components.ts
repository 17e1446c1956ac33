import type { Rows } from '../../linear-algebra/matrix-source';
import { symmetricEigen } from '../../linear-algebra/symmetric-eigen';

/** Share of the largest variance below which a component is rounding. */
const leastVariance = 1e-9;

/**
 * Rows less their mean, along the axes of their largest variance, those first (principal component analysis).
 * @param most components; fewer where the rest has no variance
 */
export function principalComponents({ count, length, numbers }: Rows, most: number): Rows {
  const mean = new Float64Array(length);
  for (let i = 0; i < numbers.length; i++) {
    mean[i % length] = (mean[i % length] ?? 0) + (numbers[i] ?? 0) / count;
  }
  const centred = numbers.map((x, i) => x - (mean[i % length] ?? 0));
  const { values, vectors } = symmetricEigen({ size: length, numbers: products(centred, length) });
  const least = leastVariance * (values[0] ?? 0);
  const kept = Math.max(1, values.subarray(0, most).filter((value) => value > least).length);
  const turned = new Float32Array(count * kept);
  for (let row = 0; row < count; row++) {
    for (let axis = 0; axis < kept; axis++) {
      let sum = 0;
      for (let i = 0; i < length; i++) {
        sum += (centred[row * length + i] ?? 0) * (vectors[axis * length + i] ?? 0);
      }
      turned[row * kept + axis] = sum;
    }
  }
  return { count, length: kept, numbers: turned };
}

/** The lower triangle of Σ xᵀ·x over all rows x. */
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
