import type { LazyTensor, PackedDType, PackedWeight } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';

const right = { direction: 'RIGHT' };

/**
 * How the bytes of a matrix of words (little-endian) are put in order: seen as [rows, columns,
 * …bytes], transposed by `order`; then the numbers of one byte belong `stride` places apart.
 */
interface Packing {
  readonly bytes: readonly number[];
  readonly order: readonly number[];
  readonly stride: (columns: number) => number;
}

/** The numbers of a word lie along the rows. */
const alongRows: Packing = { bytes: [4], order: [0, 2, 1], stride: (columns) => columns };
/** The numbers of a word lie along the columns. */
const alongColumns: Packing = { bytes: [4], order: [0, 1, 2], stride: () => 1 };
/** As before, in the order 0, 2, 4, 6, 1, 3, 5, 7. */
const evenFirst: Packing = { bytes: [2, 2], order: [0, 1, 3, 2], stride: () => 2 };

/** GPTQ as AutoGPTQ and GPTQModel store it (arXiv 2210.17323), AWQ as AutoAWQ does (2306.00978). */
const packings: Readonly<Record<PackedDType, { numbers: Packing; zeros: Packing }>> = {
  GPTQ: { numbers: alongRows, zeros: alongColumns },
  AWQ: { numbers: evenFirst, zeros: evenFirst },
};

/**
 * Emits a packed matrix as float32 [in, out]. Its tensors stay in their files; ONNX Runtime folds
 * the rest when the session is made. Whole numbers times a float16 scale are exact in float32.
 */
export function emitUnpacked(graph: GraphBuilder, packed: PackedWeight): Value {
  const { dtype, bits, scales, groups, zeroOffset } = packed;
  const packing = packings[dtype];
  const [count = 1, out = 0] = scales.shape;
  const numbers = emitNumbers(graph, packed.numbers, packing.numbers, bits, [-1, out]);
  const stored = emitNumbers(graph, packed.zeros, packing.zeros, bits, [count, out]);
  const zeros = zeroOffset === 0 ? stored : graph.op('Add', [stored, graph.scalar(zeroOffset)]);
  const factors = toFloat(graph, emitTensor(graph, scales));
  const scaled = (q: Value, zero: Value, scale: Value): Value =>
    graph.op('Mul', [graph.op('Sub', [q, zero]), scale]);
  if (groups !== undefined) {
    const indices = emitTensor(graph, groups);
    const spread = (x: Value): Value => graph.op('Gather', [x, indices], { axis: 0 });
    return scaled(numbers, spread(zeros), spread(factors));
  }
  const row = (x: Value): Value => reshaped(graph, x, [count, 1, out]);
  const grouped = reshaped(graph, numbers, [count, -1, out]);
  return reshaped(graph, scaled(grouped, row(zeros), row(factors)), [-1, out]);
}

/** The numbers of a matrix of words as float32 of `shape`. */
function emitNumbers(
  graph: GraphBuilder,
  tensor: LazyTensor,
  { bytes, order, stride }: Packing,
  bits: number,
  shape: readonly number[],
): Value {
  const [rows = 0, columns = 0] = tensor.shape;
  const { name, file, offset, length } = tensor;
  const stored = graph.weight({
    name: `${name}:uint8`,
    dataType: DataType.UINT8,
    shape: [rows, columns, ...bytes],
    file,
    offset,
    length,
  });
  const inOrder = order.every((axis, i) => axis === i)
    ? stored
    : graph.op('Transpose', [stored], { perm: order });
  if (bits === 8) {
    return toFloat(graph, reshaped(graph, inOrder, shape));
  }
  const shifts = Array.from({ length: 8 / bits }, (_, i) => i * bits);
  const apart = reshaped(graph, inOrder, [-1, 1, stride(columns)]);
  const moved = graph.op('BitShift', [apart, graph.bytes(shifts, [shifts.length, 1])], right);
  // This opset has no bitwise AND: the bits above are pushed out.
  const above = graph.bytes([8 - bits], [1]);
  const raised = graph.op('BitShift', [moved, above], { direction: 'LEFT' });
  return toFloat(graph, reshaped(graph, graph.op('BitShift', [raised, above], right), shape));
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

/** Dtypes of scales, and of the groups of inputs. */
export const scaleDTypes: readonly string[] = ['F32', 'F16', 'BF16'];
export const groupDTypes: readonly string[] = ['I32', 'I64'];

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
