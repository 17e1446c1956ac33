import { ggmlBlock } from '../../checkpoints/ggml-types';
import type { DequantizedDType, BookDType } from '../../checkpoints/ggml-types';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { Blocks, bothNibbles, everyBit, everyPair } from './block-slices';
import {
  codeBook,
  e2m1Values,
  e8m0Halves,
  evenSigns,
  nonLinearValues,
  ue4m3Halves,
} from '../../checkpoints/code-books';

const signFields = [0, 7, 14, 21];

/** Formats with code books, and ternary and binary formats; see `formats`. */
const bookFormats: Readonly<Record<BookDType, (blocks: Blocks) => Value>> = {
  IQ1_S: (b) => {
    const words = b.words(b.bytes(34, 50), 2);
    const high = b.wordFields(words, [0, 3, 6, 9], 3, [32]);
    const scale = b.multiply(b.half(0), oddNumber(b, b.wordFields(words, [12], 3, [8])));
    const delta = signedEighth(b, b.wordFields(words, [15], 1, [8, 1]));
    const rows = b.rows(codeBook('IQ1_S'), b.join(b.toFloat(b.bytes(2, 34)), high, 8), [8, 32]);
    return b.multiply(b.shaped(scale, [8, 1]), b.add(rows, delta));
  },
  IQ1_M: (b) => {
    const words = b.words(b.bytes(48, 56), 2);
    const factors = oddNumber(b, b.wordFields(words, [0, 3, 6, 9], 3, [16]));
    const scale = b.multiply(splitHalf(b, words), factors);
    const high = b.bytes(32, 48);
    const book = b.fields(high, 1, bothNibbles, 3, [32]);
    const delta = signedEighth(b, b.fields(high, 1, [3, 7], 1, [32, 1]));
    const rows = b.rows(codeBook('IQ1_S'), b.join(b.toFloat(b.bytes(0, 32)), book, 8), [32, 8]);
    return b.multiply(b.shaped(scale, [16, 1]), b.shaped(b.add(rows, delta), [16, 16]));
  },
  IQ2_XXS: (b) => {
    const all = b.bytes(2, 66);
    const words = b.words(b.within(all, 8, 4, 8), 4);
    const scale = withHalf(b, b.wordFields(words, [28], 4, [8]), 0.25);
    const rows = b.rows(codeBook('IQ2_XXS'), b.within(all, 8, 0, 4), [8, 32]);
    return scaled(b, scale, 8, rows, b.rows(evenSigns, signNumbers(b, words), [8, 32]));
  },
  IQ2_XS: (b) => {
    const words = b.words(b.bytes(2, 66), 2);
    const scale = withHalf(b, b.fields(b.bytes(66, 74), 1, bothNibbles, 4, [16]), 0.25);
    const rows = b.rows(codeBook('IQ2_XS'), b.wordFields(words, [0], 9, [32]), [16, 16]);
    return scaled(
      b,
      scale,
      16,
      rows,
      b.rows(evenSigns, b.wordFields(words, [9], 7, [32]), [16, 16]),
    );
  },
  IQ2_S: (b) => {
    const high = b.fields(b.bytes(66, 74), 1, everyPair, 2, [32]);
    const scale = withHalf(b, b.fields(b.bytes(74, 82), 1, bothNibbles, 4, [16]), 0.25);
    const rows = b.rows(codeBook('IQ2_S'), b.join(b.toFloat(b.bytes(2, 34)), high, 8), [16, 16]);
    return scaled(b, scale, 16, rows, b.signs(b.bytes(34, 66), [16, 16]));
  },
  IQ3_XXS: (b) => {
    const words = b.words(b.bytes(66, 98), 4);
    const scale = withHalf(b, b.wordFields(words, [28], 4, [8]), 0.5);
    const rows = b.rows(codeBook('IQ3_XXS'), b.bytes(2, 66), [8, 32]);
    return scaled(b, scale, 8, rows, b.rows(evenSigns, signNumbers(b, words), [8, 32]));
  },
  IQ3_S: (b) => {
    const high = b.fields(b.bytes(66, 74), 1, everyBit, 1, [64]);
    const factors = oddNumber(b, b.fields(b.bytes(106, 110), 1, bothNibbles, 4, [8]));
    const rows = b.rows(codeBook('IQ3_S'), b.join(b.toFloat(b.bytes(2, 66)), high, 8), [8, 32]);
    const signs = b.signs(b.bytes(74, 106), [8, 32]);
    return scaled(b, b.multiply(b.half(0), factors), 8, rows, signs);
  },
  IQ4_NL: (b) => {
    const numbers = b.fields(b.bytes(2, 18), 16, bothNibbles, 4, [32]);
    return b.multiply(b.half(0), b.chosen(nonLinearValues, numbers));
  },
  IQ4_XS: (b) => {
    const high = b.fields(b.bytes(2, 4), 1, everyPair, 2, [8]);
    const low = b.fields(b.bytes(4, 8), 1, bothNibbles, 4, [8]);
    const scale = b.multiply(b.half(0), b.subtract(b.join(low, high, 4), 32));
    const numbers = b.fields(b.bytes(8, 136), 16, bothNibbles, 4, [8, 32]);
    return b.multiply(b.shaped(scale, [8, 1]), b.chosen(nonLinearValues, numbers));
  },
  TQ1_0: (b) => {
    const { graph } = b;
    const part = (from: number, to: number, width: number, digits: number): Value => {
      const powers = graph.ints([0, -1, 1, width]);
      const bytes = graph.op('Reshape', [b.toFloat(b.bytes(from, to)), powers]);
      const shifted = Array.from({ length: digits }, (_, i) => 3 ** i);
      const product = b.multiply(bytes, graph.floats(shifted, [1, 1, digits, 1]));
      return b.shaped(product, [-1]);
    };
    const all = graph.op('Concat', [part(0, 32, 32, 5), part(32, 48, 16, 5), part(48, 52, 4, 4)], {
      axis: 1,
    });
    const lowByte = graph.op('Mod', [all, graph.scalar(256)], { fmod: 1 });
    const digit = graph.op('Floor', [b.multiply(lowByte, graph.scalar(3 / 256))]);
    return b.multiply(b.half(52), b.subtract(digit, 1));
  },
  TQ2_0: (b) => {
    const digits = b.fields(b.bytes(0, 64), 32, everyPair, 2, [256]);
    return b.multiply(b.half(64), b.subtract(digits, 1));
  },
  MXFP4: (b) => {
    const numbers = b.fields(b.bytes(1, 17), 16, bothNibbles, 4, [32]);
    return b.multiply(b.chosen(e8m0Halves, b.bytes(0, 1)), b.chosen(e2m1Values, numbers));
  },
  NVFP4: (b) => {
    const numbers = b.fields(b.bytes(4, 36), 8, bothNibbles, 4, [4, 16]);
    const scale = b.shaped(b.chosen(ue4m3Halves, b.bytes(0, 4)), [4, 1]);
    return b.multiply(scale, b.chosen(e2m1Values, numbers));
  },
  Q1_0: (b) => {
    const negative = b.signs(b.bytes(2, 18), [128]);
    return b.multiply(b.half(0), b.multiply(negative, b.graph.scalar(-1)));
  },
  Q2_0: (b) => {
    const numbers = b.fields(b.bytes(2, 18), 1, everyPair, 2, [64]);
    return b.multiply(b.half(0), b.subtract(numbers, 1));
  },
};

/** 2 n + 1 */
function oddNumber(b: Blocks, n: Value): Value {
  return b.add(b.multiply(n, b.graph.scalar(2)), b.graph.scalar(1));
}

/** d · (½ + n) · factor, in this order. */
function withHalf(b: Blocks, n: Value, factor: number): Value {
  const sum = b.add(n, b.graph.scalar(0.5));
  return b.multiply(b.multiply(b.half(0), sum), b.graph.scalar(factor));
}

/** ⅛, or −⅛ if the bit is set. */
function signedEighth(b: Blocks, bit: Value): Value {
  return b.add(b.multiply(bit, b.graph.scalar(-0.25)), b.graph.scalar(0.125));
}

function signNumbers(b: Blocks, words: Value): Value {
  return b.wordFields(words, signFields, 7, [32]);
}

function scaled(b: Blocks, scale: Value, groups: number, rows: Value, signs: Value): Value {
  return b.multiply(b.multiply(b.shaped(scale, [groups, 1]), rows), signs);
}

/** The float16 number whose bits are the highest four of each of four words: [blocks, 1]. */
function splitHalf(b: Blocks, words: Value): Value {
  const { graph } = b;
  const digits = b.wordFields(words, [12], 4, [4]);
  const [first, second, third, fourth] = [0, 1, 2, 3].map((at) =>
    graph.op('Slice', [digits, graph.ints([at]), graph.ints([at + 1]), graph.ints([1])]),
  ) as [Value, Value, Value, Value];
  const floor = (x: Value, size: number): Value =>
    graph.op('Floor', [b.multiply(x, graph.scalar(1 / size))]);
  const isNegative = floor(fourth, 8);
  const exponentHigh = b.subtract(fourth, b.multiply(isNegative, graph.scalar(8)));
  const exponentLow = floor(third, 4);
  const fractionHigh = b.subtract(third, b.multiply(exponentLow, graph.scalar(4)));
  const exponent = b.join(exponentLow, exponentHigh, 2);
  const fraction = b.join(b.join(first, second, 4), fractionHigh, 8);
  const units = Array.from({ length: 32 }, (_, e) =>
    e === 31 ? Infinity : 2 ** (Math.max(e, 1) - 25),
  );
  const leading = Array.from({ length: 32 }, (_, e) => (e === 0 ? 0 : 1024));
  const size = b.multiply(b.add(fraction, b.chosen(leading, exponent)), b.chosen(units, exponent));
  const sign = b.add(b.multiply(isNegative, graph.scalar(-2)), graph.scalar(1));
  return b.multiply(size, sign);
}

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
