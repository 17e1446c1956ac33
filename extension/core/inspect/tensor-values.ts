import type { FileHandle } from 'node:fs/promises';
import { withRegularFile } from '../checkpoints/regular-file';
import { checkpoint } from '../jobs/job';
import type { Cancellation } from '../jobs/job';
import { UserError } from '../user-error';
import { decoderOf } from './decoders';
import type { Decoder } from './decoders';
import type { StoredTensor } from './model-description';

/** Elements read at a time, of every type alike: whole blocks of each format. */
const chunkElements = 1 << 18;

/** Where a tensor's numbers lie. */
export type TensorPlace = Pick<
  StoredTensor,
  'name' | 'dtype' | 'file' | 'offset' | 'bytes' | 'shape'
>;

/** Why a tensor's numbers cannot be read, or undefined where they can. */
export function whyUnreadable({ dtype, offset, bytes, shape }: TensorPlace): string | undefined {
  const decoder = decoderOf(dtype);
  if (decoder === undefined) {
    return `Numbers of dtype ${dtype} can be listed but not read.`;
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  return offset === undefined || (elements / decoder.elements) * decoder.bytes !== bytes
    ? 'Its numbers are not stored one after the other.'
    : undefined;
}

/**
 * Gives a tensor's numbers in order, a part at a time, as an array that is used again for the next.
 * @throws UserError where they cannot be read, CancelledError.
 */
export class TensorReader {
  readonly #buffer: Buffer;
  readonly #out: Float64Array;

  private constructor(
    private readonly handle: FileHandle,
    private readonly tensor: TensorPlace,
    private readonly decoder: Decoder,
    private readonly cancellation: Cancellation,
  ) {
    const chunkBytes = (chunkElements / decoder.elements) * decoder.bytes;
    this.#buffer = Buffer.allocUnsafe(Math.min(chunkBytes, tensor.bytes));
    this.#out = new Float64Array(
      Math.min(chunkElements, (tensor.bytes / decoder.bytes) * decoder.elements),
    );
  }

  /** Opens the tensor's file for as long as `use` takes. */
  public static async open<T>(
    tensor: TensorPlace,
    cancellation: Cancellation,
    use: (reader: TensorReader) => Promise<T>,
  ): Promise<T> {
    const { file, name, dtype } = tensor;
    const decoder = decoderOf(dtype);
    const problem = whyUnreadable(tensor);
    if (decoder === undefined || problem !== undefined) {
      throw new UserError(problem ?? '', { file, field: name });
    }
    return withRegularFile(file, async ({ handle }) =>
      use(new TensorReader(handle, tensor, decoder, cancellation)),
    );
  }

  public async *chunks(): AsyncGenerator<Float64Array> {
    const { handle, tensor, decoder } = this;
    const start = tensor.offset ?? 0;
    for (let done = 0; done < tensor.bytes;) {
      await checkpoint(this.cancellation);
      const wanted = Math.min(this.#buffer.length, tensor.bytes - done);
      const bytes = this.#buffer.subarray(0, wanted);
      const { bytesRead } = await handle.read(bytes, 0, wanted, start + done);
      if (bytesRead < wanted) {
        throw new UserError('The file ends before the tensor does.', {
          file: tensor.file,
          field: tensor.name,
          remedy: 'It has changed since it was opened: open it again.',
        });
      }
      decoder.decode(bytes, this.#out);
      done += wanted;
      yield this.#out.subarray(0, (wanted / decoder.bytes) * decoder.elements);
    }
  }
}
