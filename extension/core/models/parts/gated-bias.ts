import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import { partTensors } from '../transformer/part-tensors';
import type { AttentionContext, FindAttentionPart } from './attention-part';
import { emitLinearOver } from './linear';
import type { Linear } from './linear';
import { emitWeight } from './weight';

/** Gate of the relative position bias for each query (WavLM, arXiv 2110.13900, § 3.2). */
interface BiasGate {
  /** [8, headDim]: two gates of each head's part of the stream, as sums of four. */
  readonly linear: Linear;
  /** [1, heads, 1, 1] */
  readonly factor: LazyTensor;
}

interface BiasGateNames {
  readonly gate: string;
  readonly factor: string;
}

/** Gate of each attention on the bias by distance that all blocks share. */
export const biasGate: FindAttentionPart<BiasGateNames> = (
  names,
  { tensors, prefix, shape: { numHeads, headDim } },
) => {
  const linear = tensors.linear(`${prefix}${names.gate}`, 8, headDim, true);
  const factor = tensors.take(`${prefix}${names.factor}`, [1, numHeads, 1, 1]);
  return {
    tensors: [...partTensors(linear), factor],
    dependsOnHeads: true,
    label: say`gated bias by distance`,
    mask: (graph, mask, { shape, input }) =>
      emitGatedBias(graph, { linear, factor }, shape, input, mask),
  };
};

/** Emits gate · bias [batch, heads, sequence, sequence], of the attention's `input` [batch, sequence, hidden]. */
function emitGatedBias(
  graph: GraphBuilder,
  { linear, factor }: BiasGate,
  { numHeads, headDim }: AttentionContext['shape'],
  input: Value,
  bias: Value,
): Value {
  const heads = graph.op(
    'Transpose',
    [graph.op('Reshape', [input, graph.ints([0, 0, numHeads, headDim])])],
    { perm: [0, 2, 1, 3] },
  );
  const parts = graph.op('Reshape', [
    emitLinearOver(graph, linear, heads),
    graph.ints([0, numHeads, -1, 2, 4]),
  ]);
  const gates = graph.op('Sigmoid', [
    graph.op('ReduceSum', [parts, graph.ints([-1])], { keepdims: 0 }),
  ]);
  const [update = '', reset = ''] = graph.ops('Split', [gates, graph.ints([1, 1])], 2, { axis: 3 });
  const one = graph.scalar(1);
  const scaled = graph.op('Sub', [graph.op('Mul', [reset, emitWeight(graph, factor)]), one]);
  const gate = graph.op('Add', [graph.op('Mul', [update, scaled]), graph.scalar(2)]);
  return graph.op('Mul', [gate, bias]);
}
