import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { blockOf, isDequantized } from '../../checkpoints/ggml-types';
import { dequantize } from '../../checkpoints/quantize/dequantize';
import { withRegularFile } from '../../checkpoints/regular-file';
import { DataType } from '../../onnx/graph-builder';
import type { ComputedWeight, GraphBuilder, Value } from '../../onnx/graph-builder';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Encoded bytes that are read at once. */
const readBytes = 1 << 20;

/**
 * A weight in a GGUF block format as float32 [out, in], decoded row by row when a session is created.
 * @param emit emits nodes that decode it, for graphs that are written
 * @returns undefined if the weight isn't a matrix stored in blocks of a file
 */
export function dequantizedWeight(
  tensor: LazyTensor,
  emit: (graph: GraphBuilder) => Value,
): ComputedWeight | undefined {
  const { name, dtype, shape, packed, inline } = tensor;
  const isMatrix = shape.length > 1;
  if (packed !== undefined || inline !== undefined || !isMatrix || !isDequantized(dtype)) {
    return undefined;
  }
  return {
    name: `${name}:floats`,
    dataType: DataType.FLOAT,
    shape,
    bytes: elementCount(shape) * Float32Array.BYTES_PER_ELEMENT,
    fill: async (target) => {
      const floats = new Float32Array(target.buffer, target.byteOffset, elementCount(shape));
      await dequantizeRows(tensor, (row, numbers) => {
        floats.set(numbers, row * numbers.length);
      });
    },
    emit,
  };
}

/**
 * Decodes a matrix in a GGUF block format row by row, rows of interleaved heads in the order of the model.
 * @param take gets each row's index and its float32 numbers, which are overwritten afterward
 * @throws UserError if the file is shorter than its header says
 */
export async function dequantizeRows(
  tensor: LazyTensor,
  take: (row: number, numbers: Float32Array) => void,
): Promise<void> {
  const { name, dtype, shape, file, offset, length } = tensor;
  if (!isDequantized(dtype)) {
    throw new Error(`${name} is stored as ${dtype}, not in blocks`);
  }
  const width = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / width;
  const rowBytes = length / rows;
  const perRead = Math.max(1, Math.min(rows, Math.floor(readBytes / rowBytes)));
  const encoded = Buffer.alloc(perRead * rowBytes);
  const numbers = new Float32Array(
    (encoded.length / blockOf(dtype).bytes) * blockOf(dtype).elements,
  );
  const orderedRow = rowOrder(tensor);
  await withRegularFile(file, async ({ handle }) => {
    for (let first = 0; first < rows; first += perRead) {
      const some = Math.min(perRead, rows - first);
      const part = encoded.subarray(0, some * rowBytes);
      const { bytesRead } = await handle.read(part, 0, part.length, offset + first * rowBytes);
      if (bytesRead < part.length) {
        throw new UserError(say`The file became shorter while it was being read.`, {
          file,
          field: name,
          remedy: say`Download it again.`,
        });
      }
      dequantize(dtype, part, numbers);
      for (let i = 0; i < some; i++) {
        take(orderedRow(first + i), numbers.subarray(i * width, (i + 1) * width));
      }
    }
  });
}

/** Row of the model for each stored row: heads store rows 0, half, 1, half + 1, … */
function rowOrder({ interleavedHeads, shape }: LazyTensor): (stored: number) => number {
  if (interleavedHeads === undefined) {
    return (stored) => stored;
  }
  const headRows = (shape[0] ?? 0) / interleavedHeads;
  return (stored) => {
    const inHead = stored % headRows;
    return stored - inHead + (inHead % 2) * (headRows / 2) + Math.floor(inHead / 2);
  };
}
