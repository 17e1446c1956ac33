import type { TensorData } from '../checkpoints/lazy-tensor';
import { encodingParameters } from '../models/encodings/encoding-facts';
import type { MatrixEncoding, ModelMatrix } from '../models/matrix-encoding';
import type { Compression } from './compression-choice';
import type { CompressionContext } from './compression-context';
import { compressionMethods, requireFit, resolveVariant } from './compression-methods';
import type { Compress } from './compression-methods';
import { requireFinite } from '../linear-algebra/matrix-source';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { Rows } from '../linear-algebra/matrix-source';
import { scaleGram } from '../linear-algebra/symmetric-products';
import type { ScaledGram } from '../linear-algebra/symmetric-products';
import { formBytes } from './planned-encoding';
import { reconstruct } from './reconstruct';
import { sumOfSquares } from '../linear-algebra/small-matrix';

/** Result of compressing a matrix. */
export interface CompressedMatrix {
  readonly encoding: MatrixEncoding<TensorData>;
  /** ‖W − W′‖ / ‖W‖ (Frobenius); 0 for a matrix of zeros. */
  readonly error: number;
  /**
   * √(tr(Δ·G·Δᵀ) / tr(W·G·Wᵀ)) with Δ = W − W′: relative error of the outputs on the calibration text, if there are
   * statistics.
   */
  readonly outputError?: number;
  readonly parameters: number;
  readonly bytes: number;
}

/**
 * Compresses the matrix of a linear layer. Only reads the model's files.
 * @throws UserError if the choice doesn't fit the layer, statistics that the variant needs are missing, or the matrix
 * contains NaN or infinity
 */
export async function compressMatrix(
  context: CompressionContext,
  layer: ModelMatrix,
  compression: Compression,
): Promise<CompressedMatrix> {
  const { value } = await compressWithEach(context, layer, [compression]).next();
  if (value === undefined) {
    throw new Error(`${layer.id} has not been compressed`);
  }
  return value;
}

/**
 * Compresses one matrix with several compressions, one after another. Reads the matrix once, and decomposes it once for the
 * highest rank of a variant.
 * @throws UserError like {@link compressMatrix}, before the first result
 */
export async function* compressWithEach(
  context: CompressionContext,
  layer: ModelMatrix,
  compressions: readonly Compression[],
): AsyncGenerator<CompressedMatrix, undefined> {
  const { products, statistics } = context;
  const isCalibrated = statistics !== undefined;
  for (const compression of compressions) {
    requireFit(layer, compression, isCalibrated);
  }
  const source = {
    kind: 'stored',
    tensor: layer.weight,
    transposed: layer.transposed,
  } as const;
  const matrix = await products.read(source);
  const squares = sumOfSquares(matrix.numbers);
  requireFinite(source, squares);
  const gram = statistics === undefined ? undefined : scaleGram(statistics.gram);
  const outputs =
    gram === undefined ? undefined : { gram, squares: await products.weighedSquares(matrix, gram) };
  const prepared = new Map<string, Compress>();
  for (const compression of compressions) {
    const { method } = compression;
    const variant = resolveVariant(compression, isCalibrated);
    const key = `${method}:${variant}`;
    let compress = prepared.get(key);
    if (compress === undefined) {
      const settings = compressions
        .filter(
          (other) => other.method === method && resolveVariant(other, isCalibrated) === variant,
        )
        .map(({ setting }) => setting);
      const { prepare } = compressionMethods[method];
      compress = await prepare({ context, name: layer.id, matrix }, variant, Math.max(...settings));
      prepared.set(key, compress);
    }
    const encoding = await compress(compression);
    yield measured(products, matrix, { encoding, compression }, { squares, outputs });
  }
  return undefined;
}

/** Denominators of relative errors: sums of squares of the weights, and of the outputs on the calibration text. */
interface Whole {
  readonly squares: number;
  readonly outputs: { readonly gram: ScaledGram; readonly squares: number } | undefined;
}

/** Encoding with the settings that it was created with. */
interface Compressed {
  readonly encoding: MatrixEncoding<TensorData>;
  readonly compression: Compression;
}

/** Adds errors and sizes to an encoding. */
async function measured(
  products: MatrixProducts,
  matrix: Rows,
  { encoding, compression: { method, setting } }: Compressed,
  { squares, outputs }: Whole,
): Promise<CompressedMatrix> {
  const { plain, weighed } = await products.squares(
    matrix,
    await reconstruct(products, encoding),
    outputs?.gram,
  );
  const sizes = { out: matrix.count, in: matrix.length };
  return {
    encoding,
    error: ratio(plain, squares),
    ...(outputs === undefined || weighed === undefined
      ? {}
      : { outputError: ratio(weighed, outputs.squares) }),
    parameters: encodingParameters(encoding),
    bytes: compressionMethods[method].bytes?.(sizes, setting) ?? formBytes(encoding),
  };
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.sqrt(Math.max(0, part) / whole) : 0;
}
