import { isDequantized } from '../../checkpoints/ggml-types';
import { elementCount, hasFloatRows } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { ComputedWeight, GraphBuilder, Value } from '../../onnx/graph-builder';

/**
 * A matrix in a GGUF block format, or one that several tensors stand for, as float32 [out, in], decoded row by row when a
 * session is created.
 * @param emit emits nodes that decode it, for graphs that are written
 * @returns undefined if the weight isn't such a matrix, or its rows can't be read one by one
 */
export function dequantizedWeight(
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
