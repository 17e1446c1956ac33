import type { TensorData } from '../../checkpoints/tensor-data';
import { mapTensors } from '../../models/forms/form-facts';
import type { MatrixEncoding } from '../../models/matrix-encoding';

/** Bytes by which each copy is turned: a multiple of the size of every type. */
const step = 64;

/**
 * A form of the same sizes to time: the numbers of another, in another order for each `copy`. ONNX Runtime packs weights
 * of equal bytes once for all layers, which are then read from the processor's caches.
 */
export function unlikeCopy(
  form: MatrixEncoding<TensorData>,
  copy: number,
): MatrixEncoding<TensorData> {
  return mapTensors(form, ({ bytes, ...tensor }) => {
    const shift = (copy * step) % Math.max(1, bytes.length);
    const turned = new Uint8Array(bytes.length);
    turned.set(bytes.subarray(shift));
    turned.set(bytes.subarray(0, shift), bytes.length - shift);
    return { ...tensor, bytes: turned };
  });
}
