import { elementCount } from '../../checkpoints/lazy-tensor';
import type {
  CodeOrder,
  CodeValues,
  Grid,
  LazyTensor,
  PackedMatrix,
  PackedWeight,
} from '../../checkpoints/lazy-tensor';
import { smallFloatValues } from '../../checkpoints/half';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';

const right = { direction: 'RIGHT' };
const wordBits = 32;

/**
 * Layout of a tensor's bytes: each element is viewed as `bytes` (or not split if absent) and transposed by `order`.
 * Values of one byte are then `stride` positions apart.
 */
interface Packing {
  readonly bytes?: readonly number[];
  readonly order?: readonly number[];
  readonly stride: (columns: number) => number;
  readonly highFirst?: boolean;
}

const packings: Readonly<Record<CodeOrder, Packing>> = {
  /** Codes of a byte or word belong to columns side by side, the first in the lowest bits. */
  columns: { stride: () => 1 },
  /** Codes of a word belong to rows one below the other. */
  rows: { bytes: [4], order: [0, 2, 1], stride: (columns) => columns },
  /** As `columns`, in the order 0, 2, 4, 6, 1, 3, 5, 7. */
  'even-first': { bytes: [2, 2], order: [0, 1, 3, 2], stride: () => 2 },
  /** As `columns`, the first code in the highest bits of a byte. */
  'high-first': { stride: () => 1, highFirst: true },
};

/**
 * Emits a packed weight of `shape` as float32, optionally transposed. Its tensors stay in their
 * files; ONNX Runtime folds the rest when the session is created.
 */
export function emitUnpacked(
  graph: GraphBuilder,
  { matrix, isTransposed: turned, rows }: PackedWeight,
  shape: readonly number[],
): Value {
  const emitted = emitMatrix(graph, matrix);
  const count = elementCount(matrix.shape) / elementCount(shape.slice(1));
  const all = rows === undefined ? shape : [count, ...shape.slice(1)];
  const whole = turned ? all.toReversed() : all;
  const placed = whole.join() === matrix.shape.join() ? emitted : reshaped(graph, emitted, whole);
  if (rows === undefined) {
    return placed;
  }
  const ends = rows.map((row) => graph.ints([row]));
  return graph.op('Slice', [placed, ...ends, graph.ints([turned ? whole.length - 1 : 0])]);
}

function emitMatrix(graph: GraphBuilder, matrix: PackedMatrix): Value {
  const { shape, minus, times, over, plus } = matrix;
  const combined = (type: string, x: Value, other: Grid | number | undefined): Value =>
    other === undefined
      ? x
      : typeof other === 'number'
        ? graph.op(type, [x, graph.scalar(other)])
        : emitCombined(graph, type, x, shape, other);
  const scaled = combined('Mul', combined('Sub', emitNumbers(graph, matrix), minus), times);
  return combined('Add', combined('Div', scaled, over), plus);
}

/** Emits stored values as float32. */
function emitNumbers(
  graph: GraphBuilder,
  { tensor, codes, shape: [rows, columns], stored = columns }: PackedMatrix,
): Value {
  const numbers =
    codes === undefined
      ? toFloat(graph, emitTensor(graph, tensor))
      : emitValues(graph, emitBits(graph, tensor, codes), codes.values);
  const storedRows =
    codes?.order === 'rows' ? ((tensor.shape[0] ?? 0) * wordBits) / codes.bits : rows;
  const whole = reshaped(graph, numbers, [storedRows, stored]);
  if (storedRows === rows && stored === columns) {
    return whole;
  }
  const ends = [graph.ints([0, 0]), graph.ints([rows, columns]), graph.ints([0, 1])];
  return graph.op('Slice', [whole, ...ends]);
}

/** Each number of x [rows, columns] with the one that the grid has for its block. */
function emitCombined(
  graph: GraphBuilder,
  type: string,
  x: Value,
  [rows, columns]: PackedMatrix['shape'],
  { matrix, block, groups }: Grid,
): Value {
  const grid = emitMatrix(graph, matrix);
  const [down, across] = matrix.shape;
  if (groups !== undefined) {
    const indices = emitTensor(graph, groups.tensor);
    const spread = graph.op('Gather', [grid, indices], { axis: groups.axis });
    return graph.op(type, [x, spread]);
  }
  const isEven = [rows, columns].every((size, axis) => size % (matrix.shape[axis] ?? 1) === 0);
  const [high, wide] = block ?? [rows / down, columns / across];
  if (isEven && down * high === rows && across * wide === columns) {
    const blocks = reshaped(graph, x, [down, high, across, wide]);
    const inner = reshaped(graph, grid, [down, 1, across, 1]);
    return reshaped(graph, graph.op(type, [blocks, inner]), [rows, columns]);
  }
  const spread = graph.op('Expand', [
    reshaped(graph, grid, [down, 1, across, 1]),
    graph.ints([down, high, across, wide]),
  ]);
  const whole = reshaped(graph, spread, [down * high, across * wide]);
  const ends = [graph.ints([0, 0]), graph.ints([rows, columns]), graph.ints([0, 1])];
  return graph.op(type, [x, graph.op('Slice', [whole, ...ends])]);
}

/** The codes of a tensor in order. */
function emitBits(
  graph: GraphBuilder,
  tensor: LazyTensor,
  { bits, order: kind, values }: NonNullable<PackedMatrix['codes']>,
): Value {
  const { name, file, offset, length } = tensor;
  const packing = packings[kind];
  const { bytes = [length / elementCount(tensor.shape)], order } = packing;
  const [dataType, view] =
    values === 'signed' ? [DataType.INT8, 'int8'] : [DataType.UINT8, 'uint8'];
  const seen = graph.weight({
    name: `${name}:${view}`,
    dataType,
    shape: [...tensor.shape, ...bytes],
    file,
    offset,
    length,
  });
  const ordered = order === undefined ? seen : graph.op('Transpose', [seen], { perm: order });
  if (bits === 8) {
    return ordered;
  }
  const apart = packing.stride(tensor.shape.at(-1) ?? 1);
  // Widths that don't divide 8 are assembled from single bits.
  const width = 8 % bits === 0 ? bits : 1;
  const shifts = Array.from({ length: 8 / width }, (_, i) => i * width);
  const fields = emitFields(
    graph,
    reshaped(graph, ordered, [-1, 1, apart]),
    packing.highFirst === true ? shifts.toReversed() : shifts,
    width,
  );
  if (width === bits) {
    return fields;
  }
  const single = reshaped(graph, toFloat(graph, fields), [-1, bits, apart]);
  const weights = Array.from({ length: bits }, (_, i) => 2 ** i);
  const joined = graph.op('Mul', [single, graph.floats(weights, [1, bits, 1])]);
  return graph.reduce('ReduceSum', joined, [1], 0);
}

/** Of bytes [n, 1, stride] the fields of `width` bits at `shifts`: [n, fields, stride]. */
function emitFields(
  graph: GraphBuilder,
  bytes: Value,
  shifts: readonly number[],
  width: number,
): Value {
  const moved = graph.op('BitShift', [bytes, graph.bytes(shifts, [shifts.length, 1])], right);
  // This opset has no bitwise AND: the bits above are pushed out.
  const above = graph.bytes([8 - width], [1]);
  const raised = graph.op('BitShift', [moved, above], { direction: 'LEFT' });
  return graph.op('BitShift', [raised, above], right);
}

function emitValues(graph: GraphBuilder, codes: Value, values: CodeValues): Value {
  if (values === 'unsigned' || values === 'signed') {
    return toFloat(graph, codes);
  }
  const table =
    typeof values === 'object'
      ? toFloat(graph, emitTensor(graph, values))
      : graph.floats(smallFloatValues[values], [smallFloatValues[values].length]);
  const indices = graph.op('Cast', [codes], { to: DataType.INT32 });
  return graph.op('Gather', [table, indices]);
}

function toFloat(graph: GraphBuilder, x: Value): Value {
  return graph.op('Cast', [x], { to: DataType.FLOAT });
}

const dataTypes: Readonly<Record<string, DataType>> = {
  F32: DataType.FLOAT,
  F16: DataType.FLOAT16,
  BF16: DataType.BFLOAT16,
  I32: DataType.INT32,
  I64: DataType.INT64,
};

function emitTensor(graph: GraphBuilder, tensor: LazyTensor): Value {
  const { name, dtype, shape, file, offset, length } = tensor;
  const dataType = dataTypes[dtype];
  if (dataType === undefined) {
    throw new Error(`${name} has dtype ${dtype}, which was to be refused on opening`);
  }
  return graph.weight({ name, dataType, shape, file, offset, length });
}

function reshaped(graph: GraphBuilder, x: Value, shape: readonly number[]): Value {
  return graph.op('Reshape', [x, graph.ints(shape)]);
}
