import type { TensorData } from '../../checkpoints/tensor-data';
import type { Int8Form } from '../../models/matrix-encoding';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { InputStatistics } from '../statistics/input-statistics';
import { float32Data, int8Data } from '../tensor-values';
import { inputsPerStep, roundCompensating } from './gptq';
import { factorHessian } from './hessian';

const most = 127;
/** Inputs smaller than this share of their mean count as that large, as do weights. */
const smallest = 1e-3;

/** Each weight becomes the nearest of 255 numbers that span its output's row: at most half a scale off. */
export function quantizePerOutput(matrix: Rows): Int8Form<TensorData> {
  const { count, length, numbers } = matrix;
  const writer = new OutputWriter(matrix);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < length; i++) {
      writer.round(row, i, numbers[row * length + i] ?? 0);
    }
  }
  return writer.form();
}

/**
 * As {@link quantizePerOutput}, once inputs are divided by what weights are multiplied with, see
 * {@link smoothingScale}, and with errors of weights made up for by those that follow. What rounding the
 * inputs adds as they come is not in it.
 */
export async function quantizeSmoothed(
  products: MatrixProducts,
  matrix: Rows,
  { gram }: Pick<InputStatistics, 'gram'>,
): Promise<Int8Form<TensorData>> {
  const { count, length, numbers } = matrix;
  const inputScale = smoothingScale(matrix, { gram });
  const scaled = {
    count,
    length,
    numbers: numbers.map((weight, i) => weight / (inputScale[i % length] ?? 1)),
  };
  const scaledGram = gram.numbers.map(
    (sum, i) => sum * (inputScale[i % length] ?? 1) * (inputScale[Math.floor(i / length)] ?? 1),
  );
  const factor = await factorHessian(products, { size: length, numbers: scaledGram }, false);
  const writer = new OutputWriter(scaled);
  await roundCompensating(products, scaled, factor, {
    step: inputsPerStep,
    round: (input, targets, weights, errors) => {
      for (let row = 0; row < count; row++) {
        errors[row] = (weights[row] ?? 0) - writer.round(row, input, targets[row] ?? 0);
      }
    },
  });
  return { ...writer.form(), inputScale: float32Data([length], inputScale) };
}

/** Whole numbers with a scale for each output, [in, out]. */
class OutputWriter {
  private readonly quants: Int8Array;
  private readonly scales: Float32Array;

  public constructor(private readonly matrix: Rows) {
    const { count, length, numbers } = matrix;
    this.quants = new Int8Array(count * length);
    this.scales = Float32Array.from({ length: count }, (_, row) => {
      let largest = 0;
      for (let i = row * length; i < (row + 1) * length; i++) {
        largest = Math.max(largest, Math.abs(numbers[i] ?? 0));
      }
      return largest / most;
    });
  }

  /** Stores a weight's nearest number and returns it. */
  public round(row: number, input: number, weight: number): number {
    const scale = this.scales[row] ?? 0;
    const q = scale === 0 ? 0 : Math.min(most, Math.max(-most, Math.round(weight / scale)));
    this.quants[input * this.matrix.count + row] = q;
    return q * scale;
  }

  public form(): Int8Form<TensorData> {
    const { count, length } = this.matrix;
    return {
      kind: 'int8',
      quants: int8Data([length, count], this.quants),
      scales: float32Data([count], this.scales),
    };
  }
}

/**
 * Factors on the inputs that leave half of what sets them apart to the weights: √(max |W[·, i]| / size of
 * input i) (SmoothQuant, arXiv 2211.10438, eq. 4 with α = ½). The size is that of all rows together.
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

/** Numbers raised to a share of their mean; 1 where all are 0. */
function atLeast(numbers: Float64Array): (i: number) => number {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  return (i) => (mean > 0 ? Math.max(numbers[i] ?? 0, smallest * mean) : 1);
}
