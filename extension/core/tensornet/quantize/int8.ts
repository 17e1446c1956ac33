import type { TensorData } from '../../checkpoints/lazy-tensor';
import type { Int8Encoding } from '../../models/matrix-encoding';
import { roundStep } from '../../linear-algebra/kernels';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { InputStatistics } from '../statistics/statistics-accumulator';
import { float32Data, int8Data, scaleColumns, transpose } from '../tensor-values';
import { inputsPerStep, roundCompensating, factorHessian } from './gptq';

const most = 127;
const range = [-most, most] as const;
/** Minimum magnitude of inputs and of weights, as a share of their mean. */
const smallest = 1e-3;

/** Rounds each weight to the nearest of 255 values that span its output row; the error is at most half a scale. */
export function quantizePerOutput(matrix: Rows): Int8Encoding<TensorData> {
  const { count, length } = matrix;
  const scales = outputScales(matrix);
  const zeros = new Float32Array(count);
  const integers = new Uint8Array(count * length);
  for (let start = 0; start < length; start += inputsPerStep) {
    const end = Math.min(length, start + inputsPerStep);
    const weights = transpose(matrix, start, end);
    const numbers = integers.subarray(start * count, end * count);
    roundStep({
      ...{ step: end - start, rows: count, targets: weights, weights },
      ...{ scales, zeros, range, numbers },
    });
  }
  return int8Encoding(matrix, integers, scales);
}

/**
 * Like {@link quantizePerOutput}, after dividing inputs and multiplying weights by the {@link smoothingScale}, and with
 * error feedback. Doesn't account for the run-time quantization of the inputs.
 */
export async function quantizeSmoothed(
  products: MatrixProducts,
  matrix: Rows,
  { gram }: Pick<InputStatistics, 'gram'>,
): Promise<Int8Encoding<TensorData>> {
  const { count, length } = matrix;
  const inputScale = smoothingScale(matrix, { gram });
  const scaled = scaleColumns(
    matrix,
    inputScale.map((x) => 1 / x),
  );
  const scaledGram = new Float64Array(gram.numbers.length);
  for (let row = 0; row < length; row++) {
    for (let i = 0, at = row * length; i < length; i++, at++) {
      scaledGram[at] = (gram.numbers[at] ?? 0) * (inputScale[i] ?? 1) * (inputScale[row] ?? 1);
    }
  }
  const factor = await factorHessian(products, { size: length, numbers: scaledGram }, false);
  const scales = outputScales(scaled);
  const zeros = new Float32Array(count);
  const integers = await roundCompensating(products, scaled, factor, {
    step: inputsPerStep,
    range,
    scalesOf: () => ({ scales, zeros }),
  });
  const form = int8Encoding(scaled, integers, scales);
  return { ...form, inputScale: float32Data([length], inputScale) };
}

/** Scale of each output that spans its largest weight. */
function outputScales({ count, length, numbers }: Rows): Float32Array {
  return Float32Array.from({ length: count }, (_, row) => {
    let largest = 0;
    for (let i = row * length; i < (row + 1) * length; i++) {
      largest = Math.max(largest, Math.abs(numbers[i] ?? 0));
    }
    return largest / most;
  });
}

/** Encodes integers [in, out] as bytes, with one scale per output. */
function int8Encoding(
  { count, length }: Rows,
  numbers: Uint8Array,
  scales: Float32Array,
): Int8Encoding<TensorData> {
  return {
    kind: 'int8',
    quants: int8Data([length, count], new Int8Array(numbers.buffer)),
    scales: float32Data([count], scales),
  };
}

/**
 * Smoothing factors of the inputs: √(max |W[·, i]| / size of input i), with the size over all rows
 * (SmoothQuant, arXiv 2211.10438, eq. 4 with α = ½).
 */
function smoothingScale(
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

/** Values raised to a minimum share of their mean; 1 if all are 0. */
function atLeast(numbers: Float64Array): (i: number) => number {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  return (i) => (mean > 0 ? Math.max(numbers[i] ?? 0, smallest * mean) : 1);
}
