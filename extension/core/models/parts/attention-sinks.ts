import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import { emitMasked } from './attention-part';
import type { FindAttentionPart } from './attention-part';
import { emitWeight } from './weight';

/** Attention sinks (gpt-oss, arXiv 2508.10925): one extra score per head [heads], whose probability is dropped. */
export const attentionSinks: FindAttentionPart<string> = (
  name,
  { tensors, prefix, shape: { numHeads } },
) => {
  const sinks = tensors.take(`${prefix}${name}`, [numHeads]);
  return {
    tensors: [sinks],
    dependsOnHeads: true,
    label: say`a sink per head`,
    probabilities: (graph, scores, mask) =>
      emitSoftmaxWithSinks(graph, emitMasked(graph, scores, mask), sinks),
  };
};

/**
 * Emits the softmax of scores [batch, heads, sequence, total] and one extra score per head, whose probability is
 * dropped.
 */
function emitSoftmaxWithSinks(graph: GraphBuilder, scores: Value, sinks: LazyTensor): Value {
  const column = graph.op('Reshape', [emitWeight(graph, sinks), graph.ints([1, -1, 1, 1])]);
  const leading = graph.op('Slice', [
    graph.op('Shape', [scores]),
    graph.ints([0]),
    graph.ints([3]),
  ]);
  const size = graph.op('Concat', [leading, graph.ints([1])], { axis: 0 });
  const all = graph.op('Concat', [scores, graph.op('Expand', [column, size])], { axis: -1 });
  return graph.op('Slice', [
    graph.op('Softmax', [all], { axis: -1 }),
    graph.ints([0]),
    graph.ints([-1]),
    graph.ints([3]),
  ]);
}
