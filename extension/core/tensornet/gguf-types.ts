import type { WritableType } from '../checkpoints/ggml-types';
import { roundRows, rowBytes } from '../checkpoints/quantize/quantizers';
import type { TensorData } from '../checkpoints/lazy-tensor';
import type { Rows } from '../linear-algebra/matrix-source';
import type { MatrixEncoding, ModelMatrix } from '../models/matrix-encoding';
import type { CompressionContext } from './compression-context';

/** Variant that weights rounding by the mean square of a layer's inputs, like an importance matrix. */
export const byImportance = 'importance';

export const ggufVariants: readonly string[] = ['plain', byImportance];

/**
 * Dequantized values of a matrix [out, in] after storing it as a GGUF `type`.
 * @throws Error if `importance` has no statistics
 */
export async function roundToType(
  { statistics }: CompressionContext,
  { count, length, numbers }: Rows,
  type: WritableType,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  const importance = variant === byImportance ? meanSquares(statistics) : undefined;
  const rounded = roundRows(type, numbers, length, importance);
  return Promise.resolve({
    kind: 'dense',
    weight: { dtype: 'F32', shape: [count, length], bytes: new Uint8Array(rounded.buffer) },
  });
}

/** Mean square of each input; 1 for inputs without data, as llama.cpp reads importance matrices. */
function meanSquares(statistics: CompressionContext['statistics']): Float32Array {
  if (statistics === undefined) {
    throw new Error(`${byImportance} needs statistics of the inputs`);
  }
  const {
    gram: { size, numbers },
    count,
  } = statistics;
  return Float32Array.from({ length: size }, (_, i) =>
    count > 0 ? (numbers[i * size + i] ?? 0) / count : 1,
  );
}

/** Bytes of a matrix stored as a type. */
export function typeBytes(
  { out, in: inputs }: Pick<ModelMatrix, 'out' | 'in'>,
  type: WritableType,
): number {
  return out * rowBytes(type, inputs);
}
