import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitNorm } from './norm';
import type { NormStyle } from './norm';
import { emitWeight } from './weight';

/** Emits what share of each key's value goes to each query, of scores and mask. */
export function emitProbabilities(
  graph: GraphBuilder,
  { hashes }: { readonly hashes: number | undefined },
  { sinks }: { readonly sinks?: LazyTensor },
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

/** Of attention by the difference of what two heads see (arXiv 2410.05258). */
export interface Difference {
  /** [headDim] each: queries and keys of the two factors, whose exponentials are taken from one another. */
  readonly factors: readonly LazyTensor[];
  /** λ_init: added to λ, and 1 − λ_init scales the result. */
  readonly start: number;
}

/** Emits values [batch, heads, total, size] as [batch, heads, total, 2 · size]: those of both halves of the heads, for each half. */
export function emitPairs(graph: GraphBuilder, values: Value): Value {
  const [first = '', second = ''] = graph.ops('Split', [values], 2, { axis: 1 });
  const pairs = graph.op('Concat', [first, second], { axis: 3 });
  return graph.op('Concat', [pairs, pairs], { axis: 1 });
}

/** Emits what the second half of the heads sees taken from what the first does, normed: half as many heads. */
export function emitDifference(
  graph: GraphBuilder,
  { norm }: { readonly norm: NormStyle },
  { factors, start }: Difference,
  heads: Value,
): Value {
  const [queryOne = '', keyOne = '', queryTwo = '', keyTwo = ''] = factors.map((tensor) =>
    emitWeight(graph, tensor),
  );
  const exponential = (query: Value, key: Value): Value =>
    graph.op('Exp', [graph.reduce('ReduceSum', graph.op('Mul', [query, key]), [0], 1)]);
  const both = graph.op('Sub', [exponential(queryOne, keyOne), exponential(queryTwo, keyTwo)]);
  const share = graph.op('Add', [both, graph.scalar(start)]);
  const [first = '', second = ''] = graph.ops('Split', [heads], 2, { axis: 1 });
  const left = graph.op('Sub', [first, graph.op('Mul', [second, share])]);
  return graph.op('Mul', [emitNorm(graph, norm, left, {}), graph.scalar(1 - start)]);
}
