import { readSync } from 'node:fs';
import { elementCount } from './lazy-tensor';
import type { LazyTensor } from './lazy-tensor';
import { readPackedRows } from './packed-rows';
import type { StoredRows } from '../onnx/graph-builder';
import { dequantize } from './quantize/dequantize';
import { ggmlBlock, isDequantized } from './ggml-types';
import { cutShort, floatReaders } from './read-tensor';
import { withRegularFile } from '../regular-file';

/** Encoded bytes that are read at once. */
const bytesAtOnce = 1 << 17;

/** Decodes `encoded`, whole rows of a tensor, to float32. */
type Decoder = (encoded: Buffer, numbers: Float32Array) => void;

/**
 * Reads a matrix [rows, columns] row by row as float32. Rows of interleaved heads are returned in model order.
 * @param take receives the index and the values of each row; the array is reused
 * @throws UserError if the file is shorter than its header declares
 */
export async function readFloatRows(
  tensor: StoredRows,
  take: (row: number, numbers: Float32Array) => void,
): Promise<void> {
  const { shape, file, offset, length } = tensor;
  if (isPacked(tensor)) {
    return readPackedRows(tensor, take);
  }
  const columns = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / columns;
  const rowBytes = length / rows;
  const perRead = Math.max(1, Math.min(rows, Math.floor(bytesAtOnce / rowBytes)));
  const encoded = Buffer.from(new ArrayBuffer(perRead * rowBytes));
  const numbers = new Float32Array(perRead * columns);
  const decode = findDecoder(tensor);
  const orderedRow = rowOrder(tensor);
  await withRegularFile(file, async ({ handle }) => {
    for (let first = 0; first < rows; first += perRead) {
      const count = Math.min(perRead, rows - first);
      const part = encoded.subarray(0, count * rowBytes);
      const { bytesRead } = await handle.read(part, 0, part.length, offset + first * rowBytes);
      if (bytesRead < part.length) {
        throw cutShort(tensor);
      }
      decode(part, numbers);
      for (let i = 0; i < count; i++) {
        take(orderedRow(first + i), numbers.subarray(i * columns, (i + 1) * columns));
      }
    }
  });
}

/** Selected rows that are closer than this in the file are read together with the bytes between them. */
const nearBytes = 1 << 14;

/**
 * Reads selected rows of a matrix [rows, columns] that is not packed as float32.
 * @param rows ascending
 * @param take receives the position in `rows` and the values of each row; the array is reused
 * @throws UserError if the file is shorter than its header declares
 */
export async function readChosenRows(
  tensor: StoredRows,
  rows: Int32Array,
  take: (place: number, numbers: Float32Array) => void,
): Promise<void> {
  const { shape, file, offset, length } = tensor;
  const columns = shape.at(-1) ?? 1;
  const rowBytes = length / (elementCount(shape) / columns);
  const numbers = new Float32Array(columns);
  const decode = findDecoder(tensor);
  const buffer = Buffer.from(new ArrayBuffer(bytesAtOnce + rowBytes));
  await withRegularFile(file, ({ handle }) => {
    for (let from = 0; from < rows.length;) {
      const first = rows[from] ?? 0;
      let to = from;
      const byteEnd = (place: number): number => ((rows[place] ?? 0) - first + 1) * rowBytes;
      while (
        to + 1 < rows.length &&
        byteEnd(to + 1) - byteEnd(to) <= nearBytes + rowBytes &&
        byteEnd(to + 1) <= bytesAtOnce
      ) {
        to++;
      }
      const part = buffer.subarray(0, byteEnd(to));
      // Thousands of short reads: awaiting each one would take ten times as long.
      if (readSync(handle.fd, part, 0, part.length, offset + first * rowBytes) < part.length) {
        throw cutShort(tensor);
      }
      for (; from <= to; from++) {
        const end = byteEnd(from);
        decode(part.subarray(end - rowBytes, end), numbers);
        take(from, numbers);
      }
    }
    return Promise.resolve();
  });
}

const isPacked = (
  tensor: StoredRows,
): tensor is StoredRows & Required<Pick<LazyTensor, 'packed'>> => tensor.packed !== undefined;

function findDecoder({ name, dtype, shape }: StoredRows): Decoder {
  if (!isDequantized(dtype)) {
    const widen = floatReaders[dtype];
    if (widen === undefined) {
      throw new Error(`${name} is stored as ${dtype}, which has no rows of floats`);
    }
    return ({ buffer, byteOffset, byteLength }, numbers) => {
      numbers.set(widen(buffer.slice(byteOffset, byteOffset + byteLength)));
    };
  }
  const { elements } = ggmlBlock(dtype);
  if ((shape.at(-1) ?? 1) % elements !== 0) {
    throw new Error(`rows of ${name} are not whole blocks of ${dtype}`);
  }
  return (encoded, numbers) => {
    dequantize(dtype, encoded, numbers);
  };
}

/** Row of the model for each stored row: heads store rows 0, half, 1, half + 1, … */
function rowOrder({ interleavedHeads, shape }: StoredRows): (stored: number) => number {
  if (interleavedHeads === undefined) {
    return (stored) => stored;
  }
  const headRows = (shape[0] ?? 0) / interleavedHeads;
  return (stored) => {
    const rowInHead = stored % headRows;
    return stored - rowInHead + (rowInHead % 2) * (headRows / 2) + Math.floor(rowInHead / 2);
  };
}

/** Fills `target` with the numbers of a matrix as float32, see {@link readFloatRows}. */
export async function fillFloats(
  tensor: StoredRows,
  { buffer, byteOffset, byteLength }: Uint8Array,
): Promise<void> {
  const floats = new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
  await readFloatRows(tensor, (row, numbers) => {
    floats.set(numbers, row * numbers.length);
  });
}
