import { UserError } from '../user-error';
import type { LazyTensor } from './lazy-tensor';
import { withRegularFile } from './regular-file';
import { say } from '../message';

/**
 * Reads the bytes of a short tensor, such as one that describes others.
 * @throws UserError when it has more than `most` bytes.
 */
export async function readBytes(
  tensor: Pick<LazyTensor, 'name' | 'file' | 'offset' | 'length' | 'inline'>,
  most: number,
): Promise<Buffer> {
  const { name, length, offset, file, inline } = tensor;
  if (length > most) {
    throw new UserError(say`It has ${length} bytes, more than the ${most} expected.`, {
      file,
      field: name,
      remedy: say`Download it again.`,
    });
  }
  if (inline !== undefined) {
    return Buffer.from(inline);
  }
  return withRegularFile(file, async ({ handle }) => {
    const bytes = Buffer.alloc(length);
    await handle.read(bytes, 0, length, offset);
    return bytes;
  });
}

/**
 * Reads a short float32 tensor, such as a table that belongs to a model's configuration.
 * @throws UserError when it is of another dtype or has more than `most` elements.
 */
export async function readFloats(tensor: LazyTensor, most: number): Promise<number[]> {
  const size = Float32Array.BYTES_PER_ELEMENT;
  if (tensor.dtype !== 'F32') {
    throw new UserError(say`Its dtype is ${tensor.dtype}, not F32.`, {
      file: tensor.file,
      field: tensor.name,
      remedy: say`Save it as float32.`,
    });
  }
  const bytes = await readBytes(tensor, most * size);
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.readFloatLE(i * size));
}
