import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { SublayerCache } from '../../model-emitter';
import type { AttentionShape, AttentionSide, AttentionWeights } from '../attention';
import { maskedScore } from '../causal-mask';
import { emitLinear } from '../linear';
import type { Linear } from '../linear';
import { emitBranchInput, emitNorm } from '../norm';
import { emitProbabilities } from '../probabilities';
import { emitCompressed, emitEnded } from './compressor';
import type { Compressing } from './compressor';
import type { CompressedParts } from './compressed-parts';
import { emitChoice } from './indexer';
import { emitTurnedBack, emitTurnedEnd } from './turned-end';

/**
 * Emits what such an attention gives of `hidden` [batch, sequence, hiddenSize]: the same shape. `queryKeyValue` is
 * [queries' latent, queries, keys]; values come out of the softmax as keys of their positions, and are turned back
 * by that of the query.
 */
export function emitCompressedAttention(
  graph: GraphBuilder,
  shape: AttentionShape,
  weights: AttentionWeights & { readonly compressed: CompressedParts },
  hidden: Value,
  { rotation, mask, positions }: AttentionSide,
  cache?: SublayerCache,
): Value {
  if (rotation === undefined) {
    throw new Error('compressed attention turns its queries and keys');
  }
  const { norm, numHeads, headDim, hiddenSize } = shape;
  const { queryKeyValue, latentNorms, compressed } = weights;
  const [down, up, keys] = queryKeyValue;
  const { rotary } = rotation;
  const applied = (linear: Linear | undefined, x: Value): Value =>
    linear === undefined ? x : emitLinear(graph, linear, x);
  const size = graph.op('Shape', [hidden]);
  const leading = graph.op('Slice', [size, graph.ints([0]), graph.ints([2])]);
  const input = emitBranchInput(graph, norm, hidden, weights);
  const rows = graph.op('Reshape', [input, graph.ints([-1, hiddenSize])]);
  const inHeads = (x: Value, heads: number): Value => {
    const split = graph.op('Concat', [leading, graph.ints([heads, headDim])], { axis: 0 });
    return graph.op('Transpose', [graph.op('Reshape', [x, split])], { perm: [0, 2, 1, 3] });
  };
  const turned = (x: Value): Value => emitTurnedEnd(graph, rotary, headDim, x, rotation);

  const latent = emitNorm(graph, norm, applied(down, rows), latentNorms?.query ?? {});
  const query = turned(emitNorm(graph, norm, inHeads(applied(up, latent), numHeads), {}));
  const own = turned(
    inHeads(emitNorm(graph, norm, applied(keys, rows), latentNorms?.keyValue ?? {}), 1),
  );
  const past = cache?.past('key', [1, 'positions', headDim]);
  const near = past === undefined ? own : graph.op('Concat', [past, own], { axis: 2 });
  cache?.keep('key', near);

  const scaled = graph.op('Mul', [query, graph.scalar(shape.scale)]);
  const scoresOf = (of: Value, bias: Value): Value => {
    const products = graph.op('MatMul', [
      scaled,
      graph.op('Transpose', [of], { perm: [0, 1, 3, 2] }),
    ]);
    return graph.op('Add', [products, bias]);
  };
  const compressing = { rows, leading, style: norm, rotary, cache };
  const runs = emitRuns(graph, compressed, compressing, latent, rotation, positions ?? '');
  const parts = [{ keys: near, bias: mask ?? '' }, ...(runs === undefined ? [] : [runs])];
  const joined = (all: readonly Value[], axis: number): Value =>
    all.length === 1 ? (all[0] ?? '') : graph.op('Concat', all, { axis });
  const scores = joined(
    parts.map((part) => scoresOf(part.keys, part.bias)),
    3,
  );
  const probabilities = emitProbabilities(graph, { hashes: undefined }, weights, scores, undefined);
  const seen = joined(
    parts.map((part) => part.keys),
    2,
  );
  const attended = graph.op('MatMul', [probabilities, seen]);
  const back = emitTurnedBack(graph, rotary, headDim, attended, rotation);
  const inRows = graph.op('Reshape', [
    graph.op('Transpose', [back], { perm: [0, 2, 1, 3] }),
    graph.ints([-1, numHeads * headDim]),
  ]);
  const given = applied(weights.output, applied(compressed.groups, inRows));
  return graph.op('Reshape', [given, size]);
}

/** Emits compressed keys and what their scores gain, [batch | 1, 1, sequence, keys], where there are any. */
function emitRuns(
  graph: GraphBuilder,
  { compressor, indexer }: CompressedParts,
  compressing: Compressing,
  latent: Value,
  tables: { readonly cos: Value; readonly sin: Value },
  positions: Value,
): { readonly keys: Value; readonly bias: Value } | undefined {
  if (compressor === undefined) {
    return undefined;
  }
  const keys = emitCompressed(graph, compressor, compressing, 'compressor');
  const ended = emitEnded(graph, compressor, positions, keys);
  const choice =
    indexer === undefined
      ? graph.scalar(0)
      : emitChoice(graph, indexer, compressing, latent, tables, ended);
  const bias = graph.op('Where', [ended, choice, graph.scalar(maskedScore)]);
  return { keys, bias: graph.op('Unsqueeze', [bias, graph.ints([1])]) };
}
