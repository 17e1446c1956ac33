import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { floatsInFile, readBytes } from '../../checkpoints/read-tensor';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import { allRows } from '../../models/gguf/gguf-rows';
import type { Rows, RowsOfTensor } from '../../models/gguf/gguf-rows';
import { emitRows, emitWeight } from '../../models/parts/weight';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import { createSession } from '../../runtime/session';
import { floatOutput, int64Tensor } from '../../runtime/tensors';
import { say } from '../../message';
import { UserError } from '../../user-error';
import type { ByteRange } from '../byte-copier';
import type { PlannedTensor } from '../weight-plan';
import { singleThreadWriter } from '../../checkpoints/quantize/row-threads';
import type { RowWriter } from '../../checkpoints/quantize/row-threads';
import type { WritableType } from '../../checkpoints/ggml-types';
import { bytesAs } from './type-mixes';

/** A tensor of a GGUF file to be written. */
export interface GgufTensor {
  readonly name: string;
  /** Outermost dimension first, as in numpy. */
  readonly shape: readonly number[];
  /** Type by ggml's name. */
  readonly type: string;
  /** Bytes. */
  readonly length: number;
  readonly source: GgufTensorSource;
}

/**
 * Source of a tensor's bytes: copied from a file, in memory, converted to another type, reordered
 * blocks, or int64.
 */
export type GgufTensorSource =
  | { readonly kind: 'copy'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'given'; readonly bytes: Uint8Array }
  | ({ readonly kind: 'numbers' } & Numbers)
  | { readonly kind: 'blocks'; readonly rows: readonly Rows[] }
  | { readonly kind: 'integers'; readonly tensor: LazyTensor };

/** Values to write as a type. */
export interface Numbers extends RowsOfTensor {
  readonly type: WritableType;
  /** Importance of each column if known; for stacked experts, one after the other. */
  readonly importance?: Float32Array;
}

/** Number of float32 values in memory at a time. */
const chunkNumbers = 1 << 20;
/** Number of values quantized per task. */
const taskNumbers = 1 << 17;

/** A tensor copied unchanged from its file. */
export function copied({ name, tensor, ranges = [tensor] }: PlannedTensor): GgufTensor {
  const { shape, dtype: type, length } = tensor;
  return { name, shape, type, length, source: { kind: 'copy', ranges } };
}

/** A converted tensor, or a copy if that produces the same bytes. */
export function converted(name: string, numbers: Numbers): GgufTensor {
  const { shape, rows, type, changed } = numbers;
  const isSame = rows.every(
    ({ tensor, transposed, order, columns }) =>
      tensor.dtype === type && transposed !== true && order === undefined && columns === undefined,
  );
  return {
    ...{ name, shape, type },
    length: bytesAs(type, shape),
    source:
      isSame && changed === undefined
        ? { kind: 'copy', ranges: rows.map(({ tensor }) => tensor) }
        : { ...numbers, kind: 'numbers' },
  };
}

/** Tensor whose quantized bytes are in another file. */
export function roundedTensor(
  name: string,
  { shape, type }: Pick<Numbers, 'shape' | 'type'>,
  range: ByteRange,
): GgufTensor {
  const { length } = range;
  if (length !== bytesAs(type, shape)) {
    throw new Error(`${name} was rounded to ${length} bytes, expected ${bytesAs(type, shape)}`);
  }
  return { name, shape, type, length, source: { kind: 'copy', ranges: [range] } };
}

/** Integer table, which llama.cpp reads as int32. */
export function asIntegers(name: string, tensor: LazyTensor): GgufTensor {
  const { shape, dtype } = tensor;
  return dtype === 'I32'
    ? copied({ name, tensor })
    : {
        ...{ name, shape, type: 'I32', length: 4 * elementCount(shape) },
        source: { kind: 'integers', tensor },
      };
}

/** Values of an int64 table as int32. */
export async function readIntegers(tensor: LazyTensor): Promise<Uint8Array> {
  const bytes = await readBytes(tensor, tensor.length);
  const numbers = Int32Array.from({ length: bytes.length / 8 }, (_, i) =>
    Number(bytes.readBigInt64LE(8 * i)),
  );
  return new Uint8Array(numbers.buffer);
}

/**
 * Converts values to their type, a few rows at a time.
 * @param name of the tensor
 * @param rowWriter quantizes the values
 * @throws CancelledError
 * @throws UserError if importance was measured with another number of inputs
 */
export async function* convert(
  name: string,
  numbers: Numbers,
  cancellation: Cancellation,
  rowWriter: RowWriter = singleThreadWriter,
): AsyncGenerator<Uint8Array> {
  const { shape, rows, type, importance, changed } = numbers;
  const [first] = rows;
  const length = first?.tensor.shape[first.transposed === true ? 0 : 1] ?? 1;
  const experts = shape.length > 2 ? (shape[0] ?? 1) : 1;
  const parts = (importance?.length ?? length) / length;
  if (parts !== 1 && parts !== experts) {
    throw new UserError(
      'importance-size-mismatch',
      say`The importance matrix has ${importance?.length ?? 0} values of ${name}, expected ${length * experts}.`,
      {
        field: 'imatrix',
        remedy: say`Write the changed model first, then measure its own matrix: espalier imatrix.`,
      },
    );
  }
  const rowsPerPart = rows.reduce((sum, { count }) => sum + count, 0) / parts;
  const perTask = Math.max(1, Math.floor(taskNumbers / length));
  const pending: Promise<Uint8Array>[] = [];
  let done = 0;
  for (const part of rows) {
    for await (const values of floatsOfRows(part, length, cancellation)) {
      const start = done;
      const moved =
        changed === undefined
          ? values
          : values.map((value, j) => changed(value, start + Math.trunc(j / length)));
      done += values.length / length;
      for (let from = start; from < done;) {
        const own = Math.floor(from / rowsPerPart);
        const to = Math.min(done, (own + 1) * rowsPerPart, from + perTask);
        const those = moved.subarray((from - start) * length, (to - start) * length);
        const weights = importance?.subarray(own * length, (own + 1) * length);
        const written = rowWriter.write({ type, numbers: those, length, importance: weights });
        written.catch(() => undefined); // Thrown where it is awaited, unless another fails first.
        pending.push(written);
        from = to;
        if (pending.length > rowWriter.ahead) {
          yield await (pending.shift() ?? written);
        }
      }
    }
  }
  for (const written of pending) {
    yield await written;
  }
}

/** The first number of a tensor of any type. */
export async function readNumber(tensor: LazyTensor, cancellation: Cancellation): Promise<number> {
  const pieces = convert(tensor.name, { ...allRows(tensor), type: 'F32' }, cancellation);
  for await (const bytes of pieces) {
    return Buffer.from(bytes).readFloatLE();
  }
  throw new Error(`${tensor.name} is empty`);
}

/** Rows of a tensor as float32, some at a time. */
async function* floatsOfRows(
  rows: Rows,
  length: number,
  cancellation: Cancellation,
): AsyncGenerator<Float32Array> {
  const { tensor, columns } = rows;
  await checkpoint(cancellation);
  // A session takes longer than to read a small tensor.
  const isSmall = elementCount(tensor.shape) <= chunkNumbers;
  const numbers = isSmall ? await floatsInFile(tensor) : undefined;
  const chunks =
    numbers === undefined
      ? gathered(rows, length, cancellation)
      : [numberRows(rows, length, numbers)];
  for await (const values of chunks) {
    yield columns === undefined
      ? values
      : values.map((_, i) => values[i - (i % length) + columns(i % length)] ?? 0);
  }
}

function numberRows(
  { count, transposed = false, order = (row) => row }: Rows,
  length: number,
  numbers: Float32Array,
): Float32Array {
  const [rowStep, step] = transposed ? [1, numbers.length / length] : [length, 1];
  const values = new Float32Array(count * length);
  for (let row = 0; row < count; row++) {
    const start = order(row) * rowStep;
    for (let i = 0; i < length; i++) {
      values[row * length + i] = numbers[start + i * step] ?? 0;
    }
  }
  return values;
}

/** Gathers values with ONNX Runtime, which reads every encoding; large tensors a few rows at a time. */
async function* gathered(
  { tensor, count, transposed = false, order = (row) => row }: Rows,
  length: number,
  cancellation: Cancellation,
): AsyncGenerator<Float32Array> {
  const graph = new GraphBuilder(tensor.name);
  const ids = graph.input('ids', DataType.INT64, [1, 'rows']);
  const chosen = transposed
    ? graph.op('Gather', [
        graph.op('Transpose', [emitWeight(graph, tensor)], { perm: [1, 0] }),
        ids,
      ])
    : emitRows(graph, tensor, ids);
  graph.output('rows', chosen, DataType.FLOAT, [1, 'rows', length]);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  try {
    const step = Math.max(1, Math.floor(chunkNumbers / length));
    for (let start = 0; start < count; start += step) {
      await checkpoint(cancellation);
      const numbers = Math.min(step, count - start);
      const asked = Int32Array.from({ length: numbers }, (_, i) => order(start + i));
      const outputs = await session.run({ ids: int64Tensor(asked, [1, numbers]) });
      yield floatOutput(outputs, 'rows');
    }
  } finally {
    await session.release();
  }
}
