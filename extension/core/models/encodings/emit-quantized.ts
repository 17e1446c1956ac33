import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { GroupQuantizedEncoding, Int8Encoding } from '../matrix-encoding';
import { emitStored, emitWeight } from '../parts/weight';
import { encodingSizes } from './encoding-facts';

/** Domain of the operators that ONNX Runtime adds to ONNX's own. */
const runtimeDomain = 'com.microsoft';
/** MatMulNBits accuracy level that quantizes activations to int8 by block and accumulates integers. */
const int8Accumulation = 4;
/** First opset with integer matmuls. */
const integerProductOpset = 10;
/** Minimum step, for rows with equal values; dividing by it doesn't overflow. */
const smallestStep = 1e-30;
/** First opset whose DequantizeLinear supports block scales and 4-bit integers. */
const blockwiseOpset = 21;

/** Emits x·Wᵀ, [rows, out], of `rows` x [rows, in]. */
export function emitGroupQuantized(
  graph: GraphBuilder,
  form: GroupQuantizedEncoding,
  rows: Value,
): Value {
  if (form.run === 'qdq') {
    return graph.op('MatMul', [rows, emitDequantizedBlocks(graph, form)]);
  }
  if (form.run === 'basic') {
    return graph.op('Gemm', [rows, emitScaledBlocks(graph, form)], { transB: 1 });
  }
  const { quants, scales, zeros, bits, groupSize } = form;
  const inputs = [
    rows,
    emitStored(graph, quants),
    emitWeight(graph, scales),
    ...(zeros === undefined ? [] : [emitStored(graph, zeros)]),
  ];
  return graph.foreignOp(runtimeDomain, 'MatMulNBits', inputs, {
    K: form.in,
    N: form.out,
    bits,
    block_size: groupSize,
    accuracy_level: int8Accumulation,
  });
}

/**
 * Emits Wᵀ [in, out] in standard operators. ONNX Runtime fuses them with the following MatMul into
 * MatMulNBits if possible. Everything before DequantizeLinear is constant-folded when the session
 * is created.
 */
export function emitDequantizedBlocks(graph: GraphBuilder, form: GroupQuantizedEncoding): Value {
  graph.requireOpset(blockwiseOpset);
  const { quants, scales, bits, groupSize, out } = form;
  const blocks = Math.ceil(form.in / groupSize);
  const whole = graph.op(
    'DequantizeLinear',
    [
      emitTurned(graph, emitBytes(graph, quants, bits, [out, blocks * groupSize]), bits),
      graph.op('Transpose', [emitWeight(graph, scales)], { perm: [1, 0] }),
      emitTurned(graph, emitZeros(graph, form, blocks), bits),
    ],
    { axis: 0, block_size: groupSize },
  );
  return blocks * groupSize === form.in
    ? whole
    : graph.op('Slice', [whole, graph.ints([0]), graph.ints([form.in]), graph.ints([0])]);
}

/** uint8 [out, blocks] */
function emitZeros(
  graph: GraphBuilder,
  { zeros, bits, out }: GroupQuantizedEncoding,
  blocks: number,
): Value {
  if (zeros === undefined) {
    const middle = graph.bytes([2 ** (bits - 1)], [1, 1]);
    return graph.op('Expand', [middle, graph.ints([out, blocks])]);
  }
  const stored = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const all = emitBytes(graph, zeros, bits, [out, stored]);
  return stored === blocks
    ? all
    : graph.op('Slice', [all, graph.ints([0]), graph.ints([blocks]), graph.ints([1])]);
}

/** The numbers of a tensor, two of four bits in a byte, as uint8. */
function emitBytes(
  graph: GraphBuilder,
  { name, file, offset, length }: LazyTensor,
  bits: 4 | 8,
  shape: readonly number[],
): Value {
  const place = { name, shape, file, offset, length };
  return bits === 8
    ? graph.weight({ ...place, dataType: DataType.UINT8 })
    : graph.op('Cast', [graph.weight({ ...place, dataType: DataType.UINT4 })], {
        to: DataType.UINT8,
      });
}

/**
 * Transposes uint8 [out, n] to values of `bits` bits [n, out]. ONNX Runtime 1.30 transposes 4-bit
 * values incorrectly unless it folds the transpose, hence bytes.
 */
function emitTurned(graph: GraphBuilder, x: Value, bits: 4 | 8): Value {
  const transposed = graph.op('Transpose', [x], { perm: [1, 0] });
  return bits === 8 ? transposed : graph.op('Cast', [transposed], { to: DataType.UINT4 });
}

/**
 * Emits x·Wᵀ, [rows, out], of `rows` x [rows, in]. With the least number m of a row and a 255th of its range
 * s, x ≈ m + s·q with q in uint8; so x·Wᵀ is s times an integer product plus m times the sums of W.
 */
export function emitInt8(graph: GraphBuilder, form: Int8Encoding, rows: Value): Value {
  const { quants, scales, inputScale, run } = form;
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const x = inputScale === undefined ? rows : op('Mul', rows, emitWeight(graph, inputScale));
  const stored = emitStored(graph, quants);
  const scale = emitWeight(graph, scales);
  if (run === 'basic') {
    return op('MatMul', x, op('Mul', emitFloats(graph, stored), scale));
  }
  if (run === 'symmetric') {
    return emitRounded(graph, x, stored, scale);
  }
  // Of no rows at all, ONNX Runtime's extremes have another shape.
  const extreme = (type: string): Value =>
    op('Reshape', graph.reduce(type, x, [-1], 1), graph.ints([-1, 1]));
  const least = extreme('ReduceMin');
  const range = op('Sub', extreme('ReduceMax'), least);
  const step = op('Max', op('Mul', range, graph.scalar(1 / 255)), graph.scalar(smallestStep));
  const steps = op('Mul', op('Sub', x, least), op('Reciprocal', step));
  const whole = graph.op('Cast', [op('Add', steps, graph.scalar(0.5))], { to: DataType.UINT8 });
  const ones = graph.bytes(new Array<number>(encodingSizes(form).in).fill(1), [
    1,
    encodingSizes(form).in,
  ]);
  // ONNX Runtime computes the sums once, when the session is made.
  const sums = emitProduct(graph, ones, stored, scale);
  const product = op('Mul', emitProduct(graph, whole, stored, scale), step);
  return op('Add', product, op('Mul', least, sums));
}

/** Zero point: uint8 128 represents 0, for integers −127 … 127. */
const middle = 128;

/**
 * Emits x·Wᵀ of x [rows, in] and W as int8 [in, out] with scales [out], in integers: with s a 127th of the largest |x| of a row, x ≈ s·(q − 128), and ONNX Runtime subtracts
 * the zero point from the sums. `MatMulIntegerToFloat` scales each output as it leaves the product, which saves two passes over it.
 */
export function emitRounded(graph: GraphBuilder, x: Value, weights: Value, scales: Value): Value {
  const op = (type: string, ...inputs: Value[]): Value => graph.op(type, inputs);
  const largest = graph.reduce('ReduceMax', op('Abs', x), [-1], 1);
  const step = op('Max', op('Mul', largest, graph.scalar(1 / 127)), graph.scalar(smallestStep));
  const [one, zero] = [graph.scalar(1), graph.bytes([middle], [])];
  const integers = op('QuantizeLinear', op('Div', x, step), one, zero);
  const inputs = [integers, weights, one, scales, zero];
  return op('Mul', graph.foreignOp(runtimeDomain, 'MatMulIntegerToFloat', inputs), step);
}

/** Emits (x · numbers) · scales for `x`, uint8 [rows, in]. */
function emitProduct(graph: GraphBuilder, x: Value, numbers: Value, scales: Value): Value {
  return graph.opset < integerProductOpset
    ? graph.foreignOp(runtimeDomain, 'MatMulIntegerToFloat', [x, numbers, graph.scalar(1), scales])
    : graph.op('Mul', [emitFloats(graph, graph.op('MatMulInteger', [x, numbers])), scales]);
}

function emitFloats(graph: GraphBuilder, numbers: Value): Value {
  return graph.op('Cast', [numbers], { to: DataType.FLOAT });
}

/** Emits W [out, in] in operators that every opset has. */
export function emitDequantizedOutputs(
  graph: GraphBuilder,
  { quants, scales, inputScale }: Int8Encoding,
): Value {
  const numbers = graph.op('Mul', [
    emitFloats(graph, emitStored(graph, quants)),
    emitWeight(graph, scales),
  ]);
  const transposed = graph.op('Transpose', [numbers], { perm: [1, 0] });
  return inputScale === undefined
    ? transposed
    : graph.op('Mul', [transposed, emitWeight(graph, inputScale)]);
}

/**
 * Emits W [out, in], or the rows of it selected by `pick`, with operators of every opset: (numbers − zeros) · scales,
 * block by block.
 */
export function emitScaledBlocks(
  graph: GraphBuilder,
  form: GroupQuantizedEncoding,
  pick: (stored: Value) => Value = (stored) => stored,
): Value {
  const { quants, scales, zeros, bits, groupSize } = form;
  const blocks = Math.ceil(form.in / groupSize);
  const reshaped = (x: Value, shape: readonly number[]): Value =>
    graph.op('Reshape', [x, graph.ints(shape)]);
  const cut = (x: Value, size: number): Value =>
    graph.op('Slice', [x, graph.ints([0]), graph.ints([size]), graph.ints([1])]);
  const unpacked = (tensor: LazyTensor, shape: readonly number[]): Value =>
    reshaped(
      emitUnpackedBytes(graph, reshaped(pick(emitStored(graph, tensor)), [-1, 1]), bits),
      shape,
    );
  const stored = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const zero =
    zeros === undefined
      ? graph.scalar(2 ** (bits - 1))
      : reshaped(cut(unpacked(zeros, [-1, stored]), blocks), [-1, blocks, 1]);
  const scaled = graph.op('Mul', [
    graph.op('Sub', [unpacked(quants, [-1, blocks, groupSize]), zero]),
    reshaped(pick(emitWeight(graph, scales)), [-1, blocks, 1]),
  ]);
  const whole = reshaped(scaled, [-1, blocks * groupSize]);
  return blocks * groupSize === form.in ? whole : cut(whole, form.in);
}

/** Bytes [bytes, 1] as the numbers in them, float32 [bytes, numbers of one], the low four bits of a byte first. */
function emitUnpackedBytes(graph: GraphBuilder, bytes: Value, bits: 4 | 8): Value {
  const shift = (x: Value, direction: 'LEFT' | 'RIGHT'): Value =>
    graph.op('BitShift', [x, graph.bytes([4], [1])], { direction });
  const numbers =
    bits === 8
      ? bytes
      : graph.op('Concat', [shift(shift(bytes, 'LEFT'), 'RIGHT'), shift(bytes, 'RIGHT')], {
          axis: 1,
        });
  return graph.op('Cast', [numbers], { to: DataType.FLOAT });
}
