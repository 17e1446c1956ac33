import type { TensorData } from '../checkpoints/tensor-data';
import { formParameters, formTensors } from '../models/forms/form-facts';
import type { LinearLayer, MatrixForm } from '../models/matrix-form';
import type { Compression } from './compression-choice';
import type { CompressionContext } from './compression-context';
import { compressionMethods, requireFit, variantOf } from './compression-methods';
import type { Rows } from './matrix-products';
import { reconstruct } from './reconstruct';

/** What became of a matrix. */
export interface CompressedMatrix {
  readonly form: MatrixForm<TensorData>;
  /** ‖W − W′‖ / ‖W‖ (Frobenius); 0 for a matrix of zeros. */
  readonly error: number;
  /**
   * √(tr(Δ·G·Δᵀ) / tr(W·G·Wᵀ)) with Δ = W − W′: the error of the outputs on calibration, where there
   * are statistics.
   */
  readonly outputError?: number;
  readonly parameters: number;
  readonly bytes: number;
}

/**
 * Compresses the matrix of a linear layer; the model's files are only read.
 * @throws UserError where the choice does not fit the layer, a variant lacks the statistics it needs,
 * or the matrix holds NaN or infinity.
 */
export async function compressMatrix(
  context: CompressionContext,
  layer: LinearLayer,
  compression: Compression,
): Promise<CompressedMatrix> {
  const isCalibrated = context.statistics !== undefined;
  requireFit(layer, compression, isCalibrated);
  const { weight: tensor, transposed } = layer;
  const source = { kind: 'stored', tensor, transposed } as const;
  // Named errors for numbers that no method can work with.
  await context.products.squaredNorm(source);
  const matrix = await context.products.read(source);
  const { compress } = compressionMethods[compression.method];
  const variant = variantOf(compression, isCalibrated);
  const form = await compress(context, layer.id, matrix, compression, variant);
  return measured(context, matrix, form);
}

/** The form with its errors and sizes. */
async function measured(
  { products, statistics }: CompressionContext,
  matrix: Rows,
  form: MatrixForm<TensorData>,
): Promise<CompressedMatrix> {
  const approximation = await reconstruct(products, form);
  const difference = new Float32Array(matrix.numbers.length);
  let [squares, whole] = [0, 0];
  for (let i = 0; i < difference.length; i++) {
    const x = matrix.numbers[i] ?? 0;
    const delta = x - (approximation.numbers[i] ?? 0);
    difference[i] = delta;
    squares += delta * delta;
    whole += x * x;
  }
  return {
    form,
    error: ratio(squares, whole),
    ...(statistics === undefined
      ? {}
      : {
          outputError: ratio(
            await products.weighedSquares({ ...matrix, numbers: difference }, statistics.gram),
            await products.weighedSquares(matrix, statistics.gram),
          ),
        }),
    parameters: formParameters(form),
    bytes: formTensors<TensorData>(form).reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.sqrt(Math.max(0, part) / whole) : 0;
}
