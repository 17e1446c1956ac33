import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ConfigFields } from '../transformer/config-layout';
import type { FindAttentionPart } from './attention-part';

export interface HashedNames {
  /** Number of hashes. */
  readonly count: (config: ConfigFields) => number;
}

/** Attention by the expected share of equal hashes of queries and keys (YOSO, arXiv 2111.09714). */
export const hashedAttention: FindAttentionPart<HashedNames> = ({ count }, { config }) => ({
  dependsOnHeads: false,
  heads: (graph, { query, key, value }) => ({
    query: emitUnit(graph, query),
    key: emitUnit(graph, key),
    value,
  }),
  probabilities: (graph, scores, mask) => emitAgreement(graph, count(config), scores, mask),
  attended: emitUnit,
});

const emitUnit = (graph: GraphBuilder, x: Value): Value =>
  graph.op('LpNormalization', [x], { axis: -1, p: 2 });

/** Emits (1 − acos(cosine) / π) ^ hashes, and 0 where masked. */
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
