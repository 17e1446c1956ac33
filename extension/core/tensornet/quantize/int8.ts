import type { TensorData } from '../../checkpoints/tensor-data';
import type { Int8Form } from '../../models/matrix-encoding';
import type { Rows } from '../../linear-algebra/matrix-products';
import { float32Data, int8Data } from '../tensor-values';

const most = 127;

/**
 * Each weight becomes the nearest of 255 numbers that span its output's row. The error of weights is
 * at most half a scale; what rounding the inputs adds as they come is not in it.
 */
export function quantizePerOutput({ count, length, numbers }: Rows): Int8Form<TensorData> {
  const quants = new Int8Array(count * length);
  const scales = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    const weights = numbers.subarray(row * length, (row + 1) * length);
    let largest = 0;
    for (const x of weights) {
      largest = Math.max(largest, Math.abs(x));
    }
    const scale = Math.fround(largest / most);
    scales[row] = scale;
    for (let i = 0; scale > 0 && i < length; i++) {
      const q = Math.round((weights[i] ?? 0) / scale);
      quants[i * count + row] = Math.min(most, Math.max(-most, q));
    }
  }
  return {
    kind: 'int8',
    quants: int8Data([length, count], quants),
    scales: float32Data([count], scales),
  };
}
