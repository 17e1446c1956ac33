import { UserError } from '../user-error';
import { halvesToFloats } from './half';
import type { LazyTensor } from './lazy-tensor';
import { withRegularFile } from '../regular-file';
import { say } from '../message';

/**
 * Reads the bytes of a tensor, such as one with metadata about others.
 * @throws UserError if it has more than `most` bytes, or the file is too short
 */
export async function readBytes(
  tensor: Pick<LazyTensor, 'name' | 'file' | 'offset' | 'length' | 'inline'>,
  most: number,
): Promise<Buffer> {
  const { name, length, offset, file, inline } = tensor;
  if (length > most) {
    throw new UserError(
      'tensor-too-large',
      say`It has ${length} bytes, more than the ${most} expected.`,
      { file, field: name, remedy: say`Download it again.` },
    );
  }
  if (inline !== undefined) {
    return Buffer.from(inline);
  }
  return withRegularFile(file, async ({ handle }) => {
    const bytes = Buffer.alloc(length);
    for (let end = 0; end < length;) {
      const { bytesRead } = await handle.read(bytes, end, length - end, offset + end);
      if (bytesRead === 0) {
        throw cutShort(tensor);
      }
      end += bytesRead;
    }
    return bytes;
  });
}

/** The error if a file ends before the tensor does. */
export const cutShort = ({ file, name }: Pick<LazyTensor, 'file' | 'name'>): UserError =>
  new UserError('file-shortened', say`The file became shorter while it was being read.`, {
    file,
    field: name,
    remedy: say`Download it again.`,
  });

/**
 * Reads a short float32 tensor, such as a table that belongs to a model's configuration.
 * @throws UserError when it is of another dtype or has more than `most` elements.
 */
export async function readFloats(tensor: LazyTensor, most: number): Promise<number[]> {
  const size = Float32Array.BYTES_PER_ELEMENT;
  if (tensor.dtype !== 'F32') {
    throw new UserError('tensor-not-float32', say`Its dtype is ${tensor.dtype}, not F32.`, {
      file: tensor.file,
      field: tensor.name,
      remedy: say`Save it as float32.`,
    });
  }
  const bytes = await readBytes(tensor, most * size);
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.readFloatLE(i * size));
}

/** A single read takes less than 2 GiB. */
const mostBytesAtOnce = 2 ** 30;

/**
 * Values of a matrix that is stored as float32, or as half precision, which is converted. Undefined
 * if it is stored differently or is too large to read at once.
 */
export async function floatsInFile(tensor: LazyTensor): Promise<Float32Array | undefined> {
  const { dtype, length, inline, packed, interleavedHeads } = tensor;
  const widen = floatReaders[dtype];
  const isAsMeant = (inline ?? packed ?? interleavedHeads) === undefined;
  return widen === undefined || !isAsMeant || length > mostBytesAtOnce
    ? undefined
    : widen((await readBytes(tensor, length)).buffer);
}

/** Decoders of floats to float32, by element type. */
export const floatReaders: Readonly<
  Partial<Record<string, (bytes: ArrayBufferLike) => Float32Array>>
> = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => halvesToFloats(new Uint16Array(bytes)),
  BF16: (bytes) => {
    const halves = new Uint16Array(bytes);
    const bits = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i++) {
      bits[i] = (halves[i] ?? 0) << 16;
    }
    return new Float32Array(bits.buffer);
  },
};
