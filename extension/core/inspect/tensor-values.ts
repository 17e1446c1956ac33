import type { FileHandle } from 'node:fs/promises';
import { withRegularFile } from '../regular-file';
import { checkpoint } from '../jobs/job';
import type { Cancellation } from '../jobs/job';
import { UserError } from '../user-error';
import type { StoredTensor } from './model-description';
import { say } from '../message';
import type { Message } from '../message';
import { ggmlBlock, isDequantized } from '../checkpoints/ggml-types';
import { halfToNumber, smallFloatValues } from '../checkpoints/half';
import { blockDecoders } from '../checkpoints/quantize/block-decoders';

/** Elements read at a time, of every type alike: whole blocks of each format. */
const chunkElements = 1 << 18;

/** Location of a tensor's values. */
export type TensorPlace = Pick<
  StoredTensor,
  'name' | 'dtype' | 'file' | 'offset' | 'bytes' | 'shape'
>;

/** Returns the number of the stored row that belongs at a row's position. */
export type RowOrder = (row: number) => number;

/** Reads the values of one element type. */
interface Decoder {
  /** Elements per quantization block, and its size in bytes. */
  readonly elements: number;
  readonly bytes: number;
  /** Decodes whole blocks into the beginning of `out`. */
  readonly decode: (bytes: Buffer, out: Float64Array) => void;
}

/** Decoders of single elements of `bytes` bytes. */
function each(bytes: number, read: (buffer: Buffer, at: number) => number): Decoder {
  return {
    elements: 1,
    bytes,
    decode: (buffer, out) => {
      for (let at = 0, i = 0; at < buffer.length; at += bytes, i++) {
        out[i] = read(buffer, at);
      }
    },
  };
}

/** Table of all values of a type with at most 16 bits, indexed by the bits. */
function table(bits: 8 | 16, value: (bits: number) => number): Decoder {
  let values: Float64Array | undefined;
  return {
    elements: 1,
    bytes: bits / 8,
    decode: (buffer, out) => {
      values ??= Float64Array.from({ length: 2 ** bits }, (_, pattern) => value(pattern));
      for (let i = 0, at = 0; at < buffer.length; i++, at += bits / 8) {
        const pattern = bits === 8 ? buffer[at] : (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8);
        out[i] = values[pattern ?? 0] ?? Number.NaN;
      }
    },
  };
}

const word = new DataView(new ArrayBuffer(4));
function bfloat16(bits: number): number {
  word.setUint32(0, bits * 0x1_0000);
  return word.getFloat32(0);
}

const byByte = (values: readonly number[]): Decoder =>
  table(8, (bits) => values[bits] ?? Number.NaN);

/** By safetensors dtype name; block formats have their own decoders. */
const plain: Readonly<Record<string, Decoder>> = {
  F64: each(8, (buffer, at) => buffer.readDoubleLE(at)),
  F32: each(4, (buffer, at) => buffer.readFloatLE(at)),
  F16: table(16, halfToNumber),
  BF16: table(16, bfloat16),
  F8_E4M3: byByte(smallFloatValues.E4M3),
  F8_E5M2: byByte(smallFloatValues.E5M2),
  F8_E8M0: byByte(smallFloatValues.E8M0),
  I8: each(1, (buffer, at) => buffer.readInt8(at)),
  U8: each(1, (buffer, at) => buffer[at] ?? 0),
  BOOL: each(1, (buffer, at) => (buffer[at] === 0 ? 0 : 1)),
  I16: each(2, (buffer, at) => buffer.readInt16LE(at)),
  U16: each(2, (buffer, at) => buffer.readUInt16LE(at)),
  I32: each(4, (buffer, at) => buffer.readInt32LE(at)),
  U32: each(4, (buffer, at) => buffer.readUInt32LE(at)),
  I64: each(8, (buffer, at) => Number(buffer.readBigInt64LE(at))),
  U64: each(8, (buffer, at) => Number(buffer.readBigUInt64LE(at))),
};

/** Decoder of an element type; undefined if its values can't be read. */
function findDecoder(dtype: string): Decoder | undefined {
  if (!isDequantized(dtype)) {
    return Object.hasOwn(plain, dtype) ? plain[dtype] : undefined;
  }
  const { elements, bytes } = ggmlBlock(dtype);
  const decodeBlock = blockDecoders[dtype];
  return {
    elements,
    bytes,
    decode: (buffer, out) => {
      for (let at = 0, to = 0; at < buffer.length; at += bytes, to += elements) {
        decodeBlock(buffer, at, out, to);
      }
    },
  };
}

/** Reason why a tensor's values can't be read, or undefined. */
export function explainUnreadable({
  dtype,
  offset,
  bytes,
  shape,
}: TensorPlace): Message | undefined {
  const decoder = findDecoder(dtype);
  if (decoder === undefined) {
    return say`Values of dtype ${dtype} can be listed but not read.`;
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  return offset === undefined || (elements / decoder.elements) * decoder.bytes !== bytes
    ? say`Its values are not contiguous.`
    : undefined;
}

/**
 * Iterates over a tensor's values in chunks; the array is reused.
 * @throws UserError if they can't be read
 * @throws CancelledError
 */
export class TensorReader {
  readonly #buffer: Buffer;
  readonly #out: Float64Array;

  private constructor(
    private readonly handle: FileHandle,
    private readonly tensor: TensorPlace,
    private readonly decoder: Decoder,
    private readonly cancellation: Cancellation,
    private readonly rowOrder: RowOrder | undefined,
  ) {
    const chunkBytes = (chunkElements / decoder.elements) * decoder.bytes;
    this.#buffer = Buffer.allocUnsafe(Math.min(chunkBytes, tensor.bytes));
    this.#out = new Float64Array(
      Math.min(chunkElements, (tensor.bytes / decoder.bytes) * decoder.elements),
    );
  }

  /** Opens the tensor's file while `use` runs. */
  public static async open<T>(
    tensor: TensorPlace,
    cancellation: Cancellation,
    use: (reader: TensorReader) => Promise<T>,
    rowOrder?: RowOrder,
  ): Promise<T> {
    const { file, name, dtype } = tensor;
    const decoder = findDecoder(dtype);
    const problem = explainUnreadable(tensor);
    if (decoder === undefined || problem !== undefined) {
      throw new UserError('tensor-not-readable', problem ?? say``, {
        file,
        field: name,
        remedy: undefined,
      });
    }
    return withRegularFile(file, async ({ handle }) =>
      use(new TensorReader(handle, tensor, decoder, cancellation, rowOrder)),
    );
  }

  public async *chunks(): AsyncGenerator<Float64Array> {
    const { tensor, decoder } = this;
    for (let done = 0; done < tensor.bytes;) {
      await checkpoint(this.cancellation);
      const wanted = Math.min(this.#buffer.length, tensor.bytes - done);
      const bytes = this.#buffer.subarray(0, wanted);
      for (const { at, from, length } of this.pieces(done, wanted)) {
        await this.fill(bytes.subarray(at, at + length), from);
      }
      decoder.decode(bytes, this.#out);
      done += wanted;
      yield this.#out.subarray(0, (wanted / decoder.bytes) * decoder.elements);
    }
  }

  /** Byte ranges of a part of the tensor: rows, or parts of rows, if they are reordered. */
  private *pieces(
    start: number,
    length: number,
  ): Generator<{ at: number; from: number; length: number }> {
    const { rowOrder, tensor } = this;
    if (rowOrder === undefined) {
      yield { at: 0, from: start, length };
      return;
    }
    const rowBytes = tensor.bytes / (tensor.shape[0] ?? 1);
    for (let at = 0; at < length;) {
      const row = Math.floor((start + at) / rowBytes);
      const within = start + at - row * rowBytes;
      const piece = Math.min(rowBytes - within, length - at);
      yield { at, from: rowOrder(row) * rowBytes + within, length: piece };
      at += piece;
    }
  }

  private async fill(bytes: Buffer, from: number): Promise<void> {
    const { tensor } = this;
    const { bytesRead } = await this.handle.read(
      bytes,
      0,
      bytes.length,
      (tensor.offset ?? 0) + from,
    );
    if (bytesRead < bytes.length) {
      throw new UserError('tensor-truncated', say`The file ends before the tensor does.`, {
        file: tensor.file,
        field: tensor.name,
        remedy: say`It has changed since it was opened: open it again.`,
      });
    }
  }
}
