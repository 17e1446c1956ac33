import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { emitRows, emitWeight } from '../../models/parts/weight';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import { createSession } from '../../runtime/session';
import { floatsOf, int64Tensor } from '../../runtime/tensors';
import type { ByteRange } from '../byte-copier';
import type { PlannedTensor } from '../weight-plan';
import { quantizeRows } from './quantize/quantizers';
import type { WritableType } from '../../checkpoints/ggml-types';
import { bytesAs } from './type-mixes';

/** A tensor of a GGUF file to be written. */
export interface GgufTensor {
  readonly name: string;
  /** As of numpy, the outermost size first. */
  readonly shape: readonly number[];
  /** Type by ggml's name. */
  readonly type: string;
  /** Bytes. */
  readonly length: number;
  readonly source: GgufTensorSource;
}

/** Where the bytes come from: a file as they are, memory, or numbers that are written as another type. */
export type GgufTensorSource =
  | { readonly kind: 'copy'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'given'; readonly bytes: Uint8Array }
  | ({ readonly kind: 'numbers' } & Numbers);

/** Numbers to write as a type. */
export interface Numbers {
  readonly tensor: LazyTensor;
  readonly type: WritableType;
  /** The tensor's row, or number of a vector, for each in the file; the same when absent. */
  readonly order?: (row: number) => number;
  /** What is added to each number. */
  readonly added?: number;
  /** Importance of each column, where known. */
  readonly importance?: Float32Array;
}

/** Numbers held at a time, as float32. */
const chunkNumbers = 1 << 20;

/** A tensor as it lies in its file. */
export function copied({ name, tensor, ranges = [tensor] }: PlannedTensor): GgufTensor {
  const { shape, dtype: type, length } = tensor;
  return { name, shape, type, length, source: { kind: 'copy', ranges } };
}

/** A tensor written anew, or copied where that gives the same bytes. */
export function converted(name: string, numbers: Numbers): GgufTensor {
  const { tensor, type, order, added } = numbers;
  if (tensor.dtype === type && order === undefined && added === undefined) {
    return copied({ name, tensor });
  }
  const { shape } = tensor;
  return {
    name,
    shape,
    type,
    length: bytesAs(type, shape),
    source: { kind: 'numbers', ...numbers },
  };
}

/**
 * Gives the bytes of numbers as their type, some rows at a time.
 * @throws CancelledError
 */
export async function* convert(
  numbers: Numbers,
  cancellation: Cancellation,
): AsyncGenerator<Uint8Array> {
  const { tensor, type, importance } = numbers;
  const length = tensor.shape.at(-1) ?? 1;
  if (tensor.shape.length < 2) {
    yield quantizeRows(type, await vector(numbers), length);
    return;
  }
  // Experts lie one behind the other.
  const rows = elementCount(tensor.shape) / length;
  const matrix = { ...tensor, shape: [rows, length] };
  const graph = new GraphBuilder(tensor.name);
  const ids = graph.input('ids', DataType.INT64, [1, 'rows']);
  graph.output('rows', emitRows(graph, matrix, ids), DataType.FLOAT, [1, 'rows', length]);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const { order = (row: number): number => row } = numbers;
  try {
    const step = Math.max(1, Math.floor(chunkNumbers / length));
    for (let start = 0; start < rows; start += step) {
      await checkpoint(cancellation);
      const count = Math.min(step, rows - start);
      const chosen = Int32Array.from({ length: count }, (_, i) => order(start + i));
      const outputs = await session.run({ ids: int64Tensor(chosen, [1, count]) });
      yield quantizeRows(type, moved(floatsOf(outputs, 'rows'), numbers), length, importance);
    }
  } finally {
    await session.release();
  }
}

/** A tensor with one size. */
async function vector(numbers: Numbers): Promise<Float32Array> {
  const { tensor, order } = numbers;
  const graph = new GraphBuilder(tensor.name);
  graph.output('numbers', emitWeight(graph, tensor), DataType.FLOAT, tensor.shape);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  try {
    const values = moved(floatsOf(await session.run({}), 'numbers'), numbers);
    return order === undefined ? values : values.map((_, i) => values[order(i)] ?? 0);
  } finally {
    await session.release();
  }
}

function moved(values: Float32Array, { added }: Numbers): Float32Array {
  return added === undefined ? values : values.map((value) => value + added);
}
