import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import type { FindAttentionPart } from './attention-part';
import { emitNorm } from './norm';
import type { NormStyle } from './norm';
import { emitWeight } from './weight';

interface DifferenceNames {
  /** Tensors [headDim]: queries and keys of two factors, whose exponentials are subtracted. */
  readonly factors: readonly string[];
  /** λ_init of a block: added to λ, and 1 − λ_init scales the result. */
  readonly start: (block: number) => number;
}

/** Differential attention: the difference of the outputs of head pairs (arXiv 2410.05258). */
export const differentialAttention: FindAttentionPart<DifferenceNames> = (
  names,
  { tensors, prefix, block, shape: { headDim } },
) => {
  const factors = names.factors.map((name) => tensors.take(`${prefix}${name}`, [headDim]));
  return {
    tensors: factors,
    dependsOnHeads: true,
    label: say`difference of heads in pairs`,
    widened: { factor: 2, emit: emitPairs },
    attended: (graph, outputs, _, { shape: { norm } }) =>
      emitDifference(graph, norm, factors, names.start(block), outputs),
  };
};

/** Emits values [batch, heads, total, size] as [batch, heads, total, 2 · size]: those of both halves of the heads, for each half. */
function emitPairs(graph: GraphBuilder, values: Value): Value {
  const [first = '', second = ''] = graph.ops('Split', [values], 2, { axis: 1 });
  const pairs = graph.op('Concat', [first, second], { axis: 3 });
  return graph.op('Concat', [pairs, pairs], { axis: 1 });
}

/** Emits the normed difference of the outputs of the first and the second half of the heads: half as many heads. */
function emitDifference(
  graph: GraphBuilder,
  norm: NormStyle,
  factors: readonly LazyTensor[],
  start: number,
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
