import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { AttentionShape, AttentionWeights } from './attention';
import { emitWeight } from './weight';

/** Emits what share of each key's value goes to each query, of scores and mask. */
export function emitProbabilities(
  graph: GraphBuilder,
  { hashes }: Pick<AttentionShape, 'hashes'>,
  { sinks }: Pick<AttentionWeights, 'sinks'>,
  scores: Value,
  mask: Value | undefined,
): Value {
  if (hashes !== undefined) {
    return emitAgreement(graph, hashes, scores, mask);
  }
  const masked = mask === undefined ? scores : graph.op('Add', [scores, mask]);
  return sinks === undefined
    ? graph.op('Softmax', [masked], { axis: -1 })
    : emitSoftmaxWithSinks(graph, masked, sinks);
}

/** Emits (1 − acos(cosine) / π) ^ hashes, and 0 where masked (YOSO, arXiv 2111.09714). */
function emitAgreement(
  graph: GraphBuilder,
  hashes: number,
  cosines: Value,
  mask: Value | undefined,
): Value {
  const angles = graph.op('Acos', [graph.op('Clip', [cosines, graph.scalar(-1), graph.scalar(1)])]);
  const near = graph.op('Sub', [graph.scalar(1), graph.op('Div', [angles, graph.scalar(Math.PI)])]);
  const shares = graph.op('Pow', [near, graph.scalar(hashes)]);
  return mask === undefined
    ? shares
    : graph.op('Where', [graph.op('Less', [mask, graph.scalar(0)]), graph.scalar(0), shares]);
}

/** Softmax of scores [batch, heads, sequence, total] and one more score a head, whose share is left out. */
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
