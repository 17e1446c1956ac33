import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { eightBitError } from '../../forms/form-facts';
import { DataType } from '../../../onnx/graph-builder';
import { operatorName } from '../graph-index';

/** Operators that round what they read to few bits, so that a last bit may decide over a step. */
const quantizing =
  /(?:^|:)(?:QuantizeLinear|DynamicQuantizeLinear|DynamicQuantizeMatMul|DynamicQuantizeLSTM|MatMulInteger|MatMulIntegerToFloat|ConvInteger|QAttention|QGemm|QLinear[A-Za-z]+)$/;
/** MatMulNBits rounds what it reads to 8 bits at this accuracy level. */
const eightBits = 4n;
const halfTypes = new Set<number>([DataType.FLOAT16, DataType.BFLOAT16]);

/**
 * Greatest max |a − b| / max |a| between two ways to compute the same graph, such as whole and in
 * pieces: measured on the fixtures, 6e-4 in half precision. Undefined in float32.
 */
export function roundingError({ graph, initializers }: OnnxFile): number | undefined {
  const rounds = graph.node.some(
    (node) =>
      quantizing.test(operatorName(node)) ||
      node.attribute.some(({ name, i }) => name === 'accuracy_level' && i === eightBits),
  );
  if (rounds) {
    return eightBitError;
  }
  const isHalf = [...initializers.values()].some(({ dataType }) => halfTypes.has(dataType));
  return isHalf ? 5e-3 : undefined;
}
