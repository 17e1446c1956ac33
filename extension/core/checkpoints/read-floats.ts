import { UserError } from '../user-error';
import type { LazyTensor } from './lazy-tensor';
import { withRegularFile } from './regular-file';

/**
 * Reads a short float32 tensor, such as a table that belongs to a model's configuration.
 * @throws UserError when it is of another dtype or has more than `most` elements.
 */
export async function readFloats(tensor: LazyTensor, most: number): Promise<number[]> {
  const { name, dtype, length, offset, file } = tensor;
  const count = length / Float32Array.BYTES_PER_ELEMENT;
  if (dtype !== 'F32' || count > most) {
    throw new UserError(`It should have at most ${most} numbers of dtype F32.`, {
      file,
      field: name,
    });
  }
  return withRegularFile(file, async ({ handle }) => {
    const bytes = Buffer.alloc(length);
    await handle.read(bytes, 0, length, offset);
    return Array.from({ length: count }, (_, i) => bytes.readFloatLE(i * 4));
  });
}
