import type { OnnxFile } from '../../checkpoints/onnx-file';
import { DataType } from '../../onnx/graph-builder';
import { operatorName } from './graph-index';

/** Operators that round what they read to few bits, so that a last bit may decide over a step. */
const quantizing =
  /(?:^|:)(?:QuantizeLinear|DynamicQuantizeLinear|DynamicQuantizeMatMul|DynamicQuantizeLSTM|MatMulInteger|MatMulIntegerToFloat|ConvInteger|QAttention|QGemm|QLinear[A-Za-z]+)$/;
/** MatMulNBits rounds what it reads to 8 bits at this accuracy level. */
const eightBits = 4n;
const halfTypes = new Set<number>([DataType.FLOAT16, DataType.BFLOAT16]);

/**
 * Greatest max |a − b| / max |a| between two ways to compute the same graph, such as whole and in
 * pieces: measured on the fixtures, 6e-4 in half precision and 2e-2 where values are rounded to 8 bits.
 * Undefined in float32.
 */
export function roundingError({ graph, initializers }: OnnxFile): number | undefined {
  const rounds = graph.node.some(
    (node) =>
      quantizing.test(operatorName(node)) ||
      node.attribute.some(({ name, i }) => name === 'accuracy_level' && i === eightBits),
  );
  if (rounds) {
    return 5e-2;
  }
  const isHalf = [...initializers.values()].some(({ dataType }) => halfTypes.has(dataType));
  return isHalf ? 5e-3 : undefined;
}
