import { ggmlBlock } from '../../checkpoints/ggml-types';
import type { DequantizedDType } from '../../checkpoints/ggml-types';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { Blocks, bothNibbles, everyBit, everyPair } from './block-slices';
import { bookFormats } from './dequantize-books';

/**
 * One function per block format, giving float32 with as many elements as the blocks have. They
 * multiply and add in the order of the reference (`gguf.quants`, ggml-quants.c), so that the results
 * are equal to the last bit; the small whole numbers before that are exact in any order.
 */
const formats: Readonly<Record<DequantizedDType, (blocks: Blocks) => Value>> = {
  Q8_0: (b) => b.multiply(b.signed(2, 34), b.half(0)),
  Q4_0: (b) => {
    const q = b.fields(b.bytes(2, 18), 16, bothNibbles, 4, [32]);
    return b.multiply(b.half(0), b.subtract(q, 8));
  },
  Q4_1: (b) => {
    const q = b.fields(b.bytes(4, 20), 16, bothNibbles, 4, [32]);
    return b.add(b.multiply(b.half(0), q), b.half(2));
  },
  Q5_0: (b) => b.multiply(b.half(0), b.subtract(fiveBits(b, 2), 16)),
  Q5_1: (b) => b.add(b.multiply(b.half(0), fiveBits(b, 4)), b.half(2)),
  Q2_K: (b) => {
    const scales = b.bytes(0, 16);
    const scale = b.multiply(b.half(80), b.toFloat(b.low(scales, 4)));
    const minimum = b.multiply(b.half(82), b.high(scales, 4));
    const q = b.fields(b.bytes(16, 80), 32, everyPair, 2, [16, 16]);
    const scaled = b.multiply(b.shaped(scale, [16, 1]), q);
    return b.subtract(scaled, b.shaped(minimum, [16, 1]));
  },
  Q3_K: (b) => {
    const low = b.fields(b.bytes(96, 104), 8, bothNibbles, 4, [16]);
    const high = b.fields(b.bytes(104, 108), 4, everyPair, 2, [16]);
    const scale = b.multiply(b.half(108), b.subtract(b.join(low, high, 4), 32));
    const pairs = b.fields(b.bytes(32, 96), 32, everyPair, 2, [16, 16]);
    const third = b.fields(b.bytes(0, 32), 32, everyBit, 1, [16, 16]);
    const q = b.subtract(b.join(pairs, third, 2), 4);
    return b.multiply(b.shaped(scale, [16, 1]), q);
  },
  Q4_K: (b) => {
    const q = b.fields(b.bytes(16, 144), 32, bothNibbles, 4, [8, 32]);
    return scaledWithMinimum(b, q);
  },
  Q5_K: (b) => {
    const nibbles = b.fields(b.bytes(48, 176), 32, bothNibbles, 4, [8, 32]);
    const fifth = b.fields(b.bytes(16, 48), 32, everyBit, 1, [8, 32]);
    return scaledWithMinimum(b, b.join(nibbles, fifth, 4));
  },
  ...bookFormats,
  Q6_K: (b) => {
    const nibbles = b.fields(b.bytes(0, 128), 64, bothNibbles, 4, [16, 16]);
    const pairs = b.fields(b.bytes(128, 192), 32, everyPair, 2, [16, 16]);
    const scale = b.multiply(b.half(208), b.signed(192, 208));
    return b.multiply(b.shaped(scale, [16, 1]), b.subtract(b.join(nibbles, pairs, 4), 32));
  },
};

/** Q5_0 and Q5_1: 32 fifth bits in four bytes at `at`, then 32 nibbles. */
function fiveBits(b: Blocks, at: number): Value {
  const fifth = b.fields(b.bytes(at, at + 4), 1, everyBit, 1, [32]);
  return b.join(b.fields(b.bytes(at + 4, at + 20), 16, bothNibbles, 4, [32]), fifth, 4);
}

/** Q4_K and Q5_K: eight scales and minima of six bits each, packed into twelve bytes at 4. */
function scaledWithMinimum(b: Blocks, q: Value): Value {
  const [first, second, rest] = [b.bytes(4, 8), b.bytes(8, 12), b.bytes(12, 16)];
  const joined = (whole: Value, nibbles: Value): Value =>
    b.graph.op('Concat', [b.toFloat(b.low(whole, 6)), b.join(nibbles, b.high(whole, 6), 4)], {
      axis: 1,
    });
  const scale = b.multiply(b.half(0), joined(first, b.toFloat(b.low(rest, 4))));
  const minimum = b.multiply(b.half(2), joined(second, b.high(rest, 4)));
  const scaled = b.multiply(b.shaped(scale, [8, 1]), q);
  return b.subtract(scaled, b.shaped(minimum, [8, 1]));
}

/**
 * Emits a quantized matrix as float32 in its shape. The bytes stay in the file, viewed as uint8, int8 or float16; ONNX
 * Runtime folds the rest when it creates the session.
 */
export function emitDequantized(
  graph: GraphBuilder,
  tensor: LazyTensor,
  dtype: DequantizedDType,
): Value {
  const { bytes } = ggmlBlock(dtype);
  const blocks = new Blocks(graph, (type) => emitView(graph, tensor, type, [bytes]));
  return graph.op('Reshape', [formats[dtype](blocks), graph.ints(tensor.shape)]);
}

/** Emits the rows `ids` [batch, sequence] of a quantized matrix: float32 [batch, sequence, row]. */
export function emitDequantizedRows(
  graph: GraphBuilder,
  tensor: LazyTensor,
  dtype: DequantizedDType,
  ids: Value,
): Value {
  const { bytes, elements } = ggmlBlock(dtype);
  const [, row = 0] = tensor.shape;
  const blocks = new Blocks(graph, (type) => {
    const rows = graph.op('Gather', [emitView(graph, tensor, type, [row / elements, bytes]), ids]);
    return graph.op('Reshape', [rows, graph.ints([-1, bytes / elementSize(type)])]);
  });
  const size = graph.op('Concat', [graph.op('Shape', [ids]), graph.ints([row])], { axis: 0 });
  return graph.op('Reshape', [formats[dtype](blocks), size]);
}

/** Tensor's bytes viewed as `type`. Inner sizes are in bytes, the first size is computed. */
function emitView(
  graph: GraphBuilder,
  tensor: LazyTensor,
  type: DataType,
  inner: readonly number[],
): Value {
  const { name, file, offset, length } = tensor;
  const innerBytes = inner.reduce((product, size) => product * size, 1);
  return graph.weight({
    name: `${name}:${DataType[type].toLowerCase()}${inner.length}`,
    dataType: type,
    shape: [length / innerBytes, ...inner.slice(0, -1), (inner.at(-1) ?? 0) / elementSize(type)],
    file,
    offset,
    length,
  });
}

function elementSize(type: DataType): number {
  return type === DataType.FLOAT16 ? 2 : 1;
}
