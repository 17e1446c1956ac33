import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value, ComputedWeight } from '../../onnx/graph-builder';
import { isDequantized } from '../../checkpoints/ggml-types';
import type { DType, LazyTensor } from '../../checkpoints/lazy-tensor';
import { emitDequantized, emitDequantizedRows } from '../quantized/dequantize';
import { emitUnpacked } from '../quantized/unpack';
import { elementCount, hasFloatRows } from '../../checkpoints/lazy-tensor';

const onnxDataTypes: Readonly<Partial<Record<DType, DataType>>> = {
  F32: DataType.FLOAT,
  F16: DataType.FLOAT16,
  BF16: DataType.BFLOAT16,
  U8: DataType.UINT8,
  I8: DataType.INT8,
  I32: DataType.INT32,
  I64: DataType.INT64,
};

/** The tensor in its own dtype. */
export function emitStored(graph: GraphBuilder, tensor: LazyTensor): Value {
  const placeholder = graph.placeholder(tensor);
  if (placeholder !== undefined) {
    return placeholder;
  }
  const dataType = onnxDataTypes[tensor.dtype];
  if (dataType === undefined) {
    throw new Error(`${tensor.name} has dtype ${tensor.dtype}, which requireRunnable refuses`);
  }
  const { name, shape, file, offset, length, computed } = tensor;
  return computed === undefined
    ? graph.weight({ name, dataType, shape, file, offset, length })
    : graph.computedWeight({
        ...{ name, dataType, shape, bytes: length, source: computed },
        emit: () => {
          throw new Error(`${name} is computed for sessions alone`);
        },
      });
}

/** The tensor as float32. Half precision is widened by ONNX Runtime when the session is created. */
export function emitWeight(graph: GraphBuilder, tensor: LazyTensor): Value {
  const placeholder = graph.placeholder(tensor);
  if (placeholder !== undefined) {
    return placeholder;
  }
  const weight = dequantizedWeight(tensor, (expanded) =>
    emitOrdered(expanded, tensor, emitFloats(expanded, tensor)),
  );
  return weight === undefined
    ? emitOrdered(graph, tensor, emitFloats(graph, tensor))
    : graph.computedWeight(weight);
}

/** Reorders interleaved heads. */
function emitOrdered(graph: GraphBuilder, tensor: LazyTensor, floats: Value): Value {
  const heads = tensor.interleavedHeads;
  if (heads === undefined) {
    return floats;
  }
  // [heads, half, 2, in] → [heads, 2, half, in]
  const split = graph.op('Reshape', [
    floats,
    graph.ints([heads, -1, 2, tensor.shape.length === 2 ? (tensor.shape[1] ?? 1) : 1]),
  ]);
  const ordered = graph.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  return graph.op('Reshape', [ordered, graph.ints(tensor.shape)]);
}

function emitFloats(graph: GraphBuilder, tensor: LazyTensor): Value {
  const { packed, shape } = tensor;
  if (packed !== undefined) {
    const matrix = emitUnpacked(graph, packed, shape);
    return packed.isTransposed ? graph.op('Transpose', [matrix], { perm: [1, 0] }) : matrix;
  }
  if (isDequantized(tensor.dtype)) {
    return emitDequantized(graph, tensor, tensor.dtype);
  }
  const stored = emitStored(graph, tensor);
  return tensor.dtype === 'F32' ? stored : graph.op('Cast', [stored], { to: DataType.FLOAT });
}

/** Rows `ids` [batch, sequence] of a matrix as float32; only these are widened. */
export function emitRows(graph: GraphBuilder, tensor: LazyTensor, ids: Value): Value {
  const placeholder = graph.placeholder(tensor);
  if (placeholder !== undefined || tensor.packed !== undefined) {
    return graph.op('Gather', [placeholder ?? emitWeight(graph, tensor), ids]);
  }
  return isDequantized(tensor.dtype)
    ? emitDequantizedRows(graph, tensor, tensor.dtype, ids)
    : graph.op('Cast', [graph.op('Gather', [emitStored(graph, tensor), ids])], {
        to: DataType.FLOAT,
      });
}

/**
 * A GGUF-quantized matrix, or one stored as several tensors, as float32 [out, in], decoded row by row when a
 * session is created.
 * @param emit emits nodes that decode it, for graphs that are written
 * @returns undefined if the weight isn't such a matrix, or its rows can't be read one by one
 */
function dequantizedWeight(
  tensor: LazyTensor,
  emit: (graph: GraphBuilder) => Value,
): ComputedWeight | undefined {
  const { name, dtype, shape, packed } = tensor;
  return (isDequantized(dtype) || packed !== undefined) && hasFloatRows(tensor)
    ? {
        ...{ name: `${name}:floats`, dataType: DataType.FLOAT, shape },
        bytes: elementCount(shape) * Float32Array.BYTES_PER_ELEMENT,
        source: tensor,
        emit,
      }
    : undefined;
}

/** Emits the parts of a tensor, joined along its first axis; undefined if there are none. */
export function emitPieces(graph: GraphBuilder, pieces: readonly LazyTensor[]): Value | undefined {
  const [first, ...others] = pieces.map((piece) => emitWeight(graph, piece));
  return first === undefined || others.length === 0
    ? first
    : graph.op('Concat', [first, ...others], { axis: 0 });
}
