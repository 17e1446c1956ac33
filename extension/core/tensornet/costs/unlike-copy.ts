import type { TensorData } from '../../checkpoints/lazy-tensor';
import { mapTensors } from '../../models/encodings/encoding-facts';
import type { MatrixEncoding } from '../../models/matrix-encoding';

/** Bytes by which each copy is rotated: a multiple of the size of every type. */
const step = 64;

/**
 * Encoding with the same sizes and values in another order for each `copy`, for timing. ONNX Runtime packs weights with
 * equal bytes once for all layers, and would then read them from the CPU caches.
 */
export function unlikeCopy(
  form: MatrixEncoding<TensorData>,
  copy: number,
): MatrixEncoding<TensorData> {
  return mapTensors(form, ({ bytes, ...tensor }) => {
    const shift = (copy * step) % Math.max(1, bytes.length);
    const rotated = new Uint8Array(bytes.length);
    rotated.set(bytes.subarray(shift));
    rotated.set(bytes.subarray(0, shift), bytes.length - shift);
    return { ...tensor, bytes: rotated };
  });
}
