import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { BlockQuantizedForm, Int8Form } from '../matrix-encoding';
import { emitStored, emitWeight } from '../weight';

/** Domain of the operators that ONNX Runtime adds to ONNX's own. */
const runtimeDomain = 'com.microsoft';
/** Activations are quantized to int8 by block, so that sums are of whole numbers. */
const int8Accumulation = 4;
/** From this opset on, inputs can be quantized as they come. */
const dynamicOpset = 11;
/** From this opset on, DequantizeLinear takes a scale for each block, and numbers of four bits. */
const blockwiseOpset = 21;

/** Emits x·Wᵀ, [rows, out], of `rows` x [rows, in]. */
export function emitBlockQuantized(
  graph: GraphBuilder,
  form: BlockQuantizedForm,
  rows: Value,
): Value {
  if (form.run === 'qdq') {
    return graph.op('MatMul', [rows, emitDequantizedBlocks(graph, form)]);
  }
  if (form.run === 'basic') {
    return graph.op('Gemm', [rows, emitScaledBlocks(graph, form)], { transB: 1 });
  }
  const { quants, scales, zeros, bits, blockSize } = form;
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
    block_size: blockSize,
    accuracy_level: int8Accumulation,
  });
}

/**
 * Emits Wᵀ [in, out] in standard operators, which ONNX Runtime joins with the product behind it into a
 * MatMulNBits of its own where it can. What is in front of DequantizeLinear is computed once, when the
 * session is made.
 */
export function emitDequantizedBlocks(graph: GraphBuilder, form: BlockQuantizedForm): Value {
  graph.requireOpset(blockwiseOpset);
  const { quants, scales, bits, blockSize, out } = form;
  const blocks = Math.ceil(form.in / blockSize);
  const whole = graph.op(
    'DequantizeLinear',
    [
      emitTurned(graph, emitBytes(graph, quants, bits, [out, blocks * blockSize]), bits),
      graph.op('Transpose', [emitWeight(graph, scales)], { perm: [1, 0] }),
      emitTurned(graph, emitZeros(graph, form, blocks), bits),
    ],
    { axis: 0, block_size: blockSize },
  );
  return blocks * blockSize === form.in
    ? whole
    : graph.op('Slice', [whole, graph.ints([0]), graph.ints([form.in]), graph.ints([0])]);
}

/** uint8 [out, blocks] */
function emitZeros(
  graph: GraphBuilder,
  { zeros, bits, out }: BlockQuantizedForm,
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
 * uint8 [out, n] as numbers of `bits` [n, out]. ONNX Runtime 1.30 transposes numbers of four bits wrongly
 * where it does not do so when the session is made, hence bytes.
 */
function emitTurned(graph: GraphBuilder, x: Value, bits: 4 | 8): Value {
  const turned = graph.op('Transpose', [x], { perm: [1, 0] });
  return bits === 8 ? turned : graph.op('Cast', [turned], { to: DataType.UINT4 });
}

/**
 * Emits x·Wᵀ, [rows, out], of `rows` x [rows, in]: x is quantized to uint8 with one scale and zero for
 * all rows, so that each depends on the others; multiplied in whole numbers, and scaled back. ONNX Runtime
 * joins it all into DynamicQuantizeMatMul, which is written at once below opset 11, or, where several
 * products share the rows, all but the quantization into MatMulIntegerToFloat.
 */
export function emitInt8(
  graph: GraphBuilder,
  { quants, scales, run }: Int8Form,
  rows: Value,
): Value {
  if (run === 'basic') {
    return graph.op('MatMul', [rows, emitDequantizedOutputs(graph, { quants, scales })]);
  }
  if (graph.opset < dynamicOpset) {
    const inputs = [rows, emitStored(graph, quants), emitWeight(graph, scales)];
    return graph.foreignOp(runtimeDomain, 'DynamicQuantizeMatMul', inputs);
  }
  const [whole = '', scale = '', zero = ''] = graph.ops('DynamicQuantizeLinear', [rows], 3);
  const sums = graph.op('MatMulInteger', [whole, emitStored(graph, quants), zero]);
  return graph.op('Mul', [
    graph.op('Cast', [sums], { to: DataType.FLOAT }),
    graph.op('Mul', [scale, emitWeight(graph, scales)]),
  ]);
}

/** Emits Wᵀ [in, out] in operators that every opset has. */
export function emitDequantizedOutputs(
  graph: GraphBuilder,
  { quants, scales }: Pick<Int8Form, 'quants' | 'scales'>,
): Value {
  const numbers = graph.op('Cast', [emitStored(graph, quants)], { to: DataType.FLOAT });
  return graph.op('Mul', [numbers, emitWeight(graph, scales)]);
}

/**
 * Emits W [out, in], or those rows of it that `pick` takes from what is stored, in operators that every
 * opset has: (numbers − zeros) · scales, block by block.
 */
export function emitScaledBlocks(
  graph: GraphBuilder,
  form: BlockQuantizedForm,
  pick: (stored: Value) => Value = (stored) => stored,
): Value {
  const { quants, scales, zeros, bits, blockSize } = form;
  const blocks = Math.ceil(form.in / blockSize);
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
    graph.op('Sub', [unpacked(quants, [-1, blocks, blockSize]), zero]),
    reshaped(pick(emitWeight(graph, scales)), [-1, blocks, 1]),
  ]);
  const whole = reshaped(scaled, [-1, blocks * blockSize]);
  return blocks * blockSize === form.in ? whole : cut(whole, form.in);
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
