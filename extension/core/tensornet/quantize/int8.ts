import type { TensorData } from '../../checkpoints/tensor-data';
import type { Int8Form } from '../../models/matrix-encoding';
import type { Rows } from '../../linear-algebra/matrix-products';
import type { InputStatistics } from '../statistics/input-statistics';
import { float32Data, int8Data } from '../tensor-values';

const most = 127;
/** Inputs smaller than this share of their mean count as that large, as do weights. */
const smallest = 1e-3;

/**
 * Each weight becomes the nearest of 255 numbers that span its output's row, once inputs are divided by
 * what they are to be multiplied with. The error of weights is at most half a scale times that; what
 * rounding the inputs adds as they come is not in it.
 * @param inputScale factors on the inputs, [in]
 */
export function quantizePerOutput(
  { count, length, numbers }: Rows,
  inputScale?: Float32Array,
): Int8Form<TensorData> {
  const quants = new Int8Array(count * length);
  const scales = new Float32Array(count);
  const weights = new Float64Array(length);
  for (let row = 0; row < count; row++) {
    let largest = 0;
    for (let i = 0; i < length; i++) {
      const x = (numbers[row * length + i] ?? 0) / (inputScale?.[i] ?? 1);
      weights[i] = x;
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
    ...(inputScale === undefined ? {} : { inputScale: float32Data([length], inputScale) }),
  };
}

/**
 * Factors on the inputs that leave half of what sets them apart to the weights: √(max |W[·, i]| / size of
 * input i) (SmoothQuant, arXiv 2211.10438, eq. 4 with α = ½). The size is that of all rows together.
 */
export function smoothingScale(
  { count, length, numbers }: Rows,
  { gram }: Pick<InputStatistics, 'gram'>,
): Float32Array {
  const weights = new Float64Array(length);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < length; i++) {
      weights[i] = Math.max(weights[i] ?? 0, Math.abs(numbers[row * length + i] ?? 0));
    }
  }
  const inputs = weights.map((_, i) => Math.sqrt(gram.numbers[i * (length + 1)] ?? 0));
  const [ofWeights, ofInputs] = [atLeast(weights), atLeast(inputs)];
  return Float32Array.from(weights, (_, i) => Math.sqrt(ofWeights(i) / ofInputs(i)));
}

/** Numbers raised to a share of their mean; 1 where all are 0. */
function atLeast(numbers: Float64Array): (i: number) => number {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  return (i) => (mean > 0 ? Math.max(numbers[i] ?? 0, smallest * mean) : 1);
}
