import { emitLength } from '../../../onnx/emit-sequence';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { maskedScore } from '../causal-mask';
import { emitLinear } from '../linear';
import { emitCompressed } from './compressor';
import type { Indexer } from './compressed-parts';
import type { Compressing } from './compressor';
import { emitRotatedEnd } from './rotary-end';

/**
 * Emits 0 for the keys of the highest scores Σₕ wₕ · relu(queryₕ · key), and the lowest float32 for others:
 * [batch, sequence, keys].
 * @param latent of queries: [batch · sequence, rank]
 * @param ended bool [batch | 1, sequence, keys]
 */
export function emitSelectionMask(
  graph: GraphBuilder,
  { compressor, numHeads, headDim, best, query, weights }: Indexer,
  compressing: Compressing,
  latent: Value,
  tables: { readonly cos: Value; readonly sin: Value },
  ended: Value,
): Value {
  const { rows, leading, rotary } = compressing;
  const splitHeads = (x: Value, ...sizes: readonly number[]): Value => {
    const size = graph.op('Concat', [leading, graph.ints(sizes)], { axis: 0 });
    const perm = sizes.length === 2 ? [0, 2, 1, 3] : [0, 2, 1];
    return graph.op('Transpose', [graph.op('Reshape', [x, size])], { perm });
  };
  const keys = emitCompressed(graph, compressor, compressing, 'indexer');
  const own = splitHeads(emitLinear(graph, query, latent), numHeads, headDim);
  const queries = emitRotatedEnd(graph, rotary, headDim, own, tables);
  const products = graph.op('MatMul', [
    queries,
    graph.op('Transpose', [keys], { perm: [0, 1, 3, 2] }),
  ]);
  const scored = graph.op('Mul', [
    graph.op('Relu', [products]),
    graph.scalar((headDim * numHeads) ** -0.5),
  ]);
  const factors = graph.op('Unsqueeze', [
    splitHeads(emitLinear(graph, weights, rows), numHeads),
    graph.ints([3]),
  ]);
  const scores = graph.op('ReduceSum', [graph.op('Mul', [scored, factors]), graph.ints([1])], {
    keepdims: 0,
  });
  const none = graph.scalar(maskedScore);
  const open = graph.op('Where', [ended, scores, none]);
  const count = emitLength(graph, open, 2);
  const [, chosen = ''] = graph.ops(
    'TopK',
    [open, graph.op('Min', [count, graph.ints([best])])],
    2,
    { axis: -1 },
  );
  const nowhere = graph.op('Expand', [none, graph.op('Shape', [open])]);
  const zeros = graph.op('Expand', [graph.scalar(0), graph.op('Shape', [chosen])]);
  return graph.op('ScatterElements', [nowhere, chosen, zeros], { axis: -1 });
}
