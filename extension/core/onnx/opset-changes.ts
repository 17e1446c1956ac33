import { attribute } from './messages';
import type { NodeProto } from './proto/onnx_pb';

/**
 * Writes a node of opset 17 as opsets 18 to 21 have it: a reduction takes its axes as an input, which
 * before only ReduceSum did, and a Split into equal parts says how many. Of the operators that graphs are
 * built of no other changed.
 * @param constant makes an int64 constant and gives its name
 */
export function rewriteForOpset18(
  node: NodeProto,
  constant: (values: readonly number[]) => string,
): void {
  const axes = node.attribute.find(({ name }) => name === 'axes');
  if (node.opType.startsWith('Reduce') && axes !== undefined) {
    node.attribute = node.attribute.filter((one) => one !== axes);
    node.input = [...node.input, constant(axes.ints.map(Number))];
  }
  if (node.opType === 'Split' && node.input.length === 1) {
    node.attribute = [...node.attribute, attribute('num_outputs', node.output.length)];
  }
}

/** Up to here, Gemm cannot do without what it adds. */
export const lastGemmWithSum = 10;

/**
 * Writes a node of opset 17 as opsets 7 to 10 have it: Gemm adds a zero.
 * @param zero makes the number and gives its name
 */
export function rewriteForOpset10(node: NodeProto, zero: () => string): void {
  if (node.opType === 'Gemm' && node.input.length === 2) {
    node.input = [...node.input, zero()];
  }
}
