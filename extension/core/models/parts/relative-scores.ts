import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ConfigFields } from '../transformer/model-config';
import type { AttentionContext, FindAttentionPart } from './attention-part';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitNorm } from './norm';
import type { Norm } from './norm';
import { emitWeight } from './weight';

/** Scores of content with positions (DeBERTa, arXiv 2006.03654). */
export interface RelativeShape {
  /** Half of the rows of the table: positions from −span to span − 1. */
  readonly span: number;
  /** Number of buckets. Distances beyond half of it share buckets logarithmically; undefined for one bucket per distance. */
  readonly buckets: number | undefined;
  /** Largest distance. Larger ones are clipped to it. */
  readonly farthest: number;
  /** True if scores include content-to-position terms. */
  readonly contentToPosition: boolean;
  /** True if scores include position-to-content terms. */
  readonly positionToContent: boolean;
}

interface RelativeWeights {
  /** [2 · span, hidden]: shared by all blocks. */
  readonly table: LazyTensor;
  readonly norm: Norm | undefined;
  /** Projections of positions; if absent, the [query, key, …] projections of the content are used. */
  readonly own:
    | { readonly query: Linear | undefined; readonly key: Linear | undefined }
    | undefined;
}

/** Names of relative positions, and their shape; undefined if a config has none. */
interface RelativeNames {
  /** Outside the blocks. */
  readonly table: string;
  readonly norm: string;
  /** Below the block. */
  readonly key: string;
  readonly query: string;
  readonly keyBias: boolean;
  readonly shape: (config: ConfigFields) => RelativeShape | undefined;
  readonly hasNorm: (config: ConfigFields) => boolean;
  /** True if positions and content share projections. */
  readonly isShared: (config: ConfigFields) => boolean;
}

/** Scores of content with relative positions. */
export const relativePositions: FindAttentionPart<RelativeNames> = (
  names,
  { config, tensors, outside, prefix, shape: { hiddenSize, numHeads, headDim } },
) => {
  const relative = names.shape(config);
  if (relative === undefined) {
    return undefined;
  }
  const linear = (isUsed: boolean, name: string, bias: boolean): Linear | undefined =>
    isUsed ? tensors.linear(`${prefix}${name}`, numHeads * headDim, hiddenSize, bias) : undefined;
  const own = names.isShared(config)
    ? undefined
    : {
        query: linear(relative.positionToContent, names.query, true),
        key: linear(relative.contentToPosition, names.key, names.keyBias),
      };
  const table = tensors.take(`${outside}${names.table}.weight`, [2 * relative.span, hiddenSize]);
  const norm = names.hasNorm(config)
    ? tensors.norm(`${outside}${names.norm}`, hiddenSize)
    : undefined;
  const weights = { table, norm, own };
  return {
    linears: [own?.query, own?.key].filter((one) => one !== undefined),
    dependsOnHeads: true,
    scores: (graph, scores, heads, context) =>
      emitRelativeScores(graph, relative, weights, { scores, ...heads }, context),
  };
};

/**
 * Emits scores [batch, heads, sequence, sequence] with those of relative positions added; query and key
 * are [batch, heads, sequence, headDim].
 */
function emitRelativeScores(
  graph: GraphBuilder,
  relative: RelativeShape,
  weights: RelativeWeights,
  { scores, query, key }: Readonly<Record<'scores' | 'query' | 'key', Value>>,
  { shape, queryKeyValue }: AttentionContext,
): Value {
  const [sharedQuery, sharedKey] = queryKeyValue;
  const linears = weights.own ?? { query: sharedQuery, key: sharedKey };
  const size = graph.op('Shape', [scores]);
  const bucket = emitBuckets(graph, relative, size);
  const span = graph.ints([relative.span], []);
  const tableRow = (number: Value): Value =>
    graph.op('Expand', [
      graph.op('Clip', [
        graph.op('Add', [number, span]),
        graph.ints([0], []),
        graph.ints([2 * relative.span - 1], []),
      ]),
      size,
    ]);
  const against = (content: Value, linear: Linear | undefined, number: Value): Value => {
    const positions = emitPositionHeads(graph, shape, weights, linear);
    const scaled = graph.op('Mul', [content, graph.scalar(shape.scale)]);
    const all = graph.op('MatMul', [scaled, positions]);
    return graph.op('GatherElements', [all, tableRow(number)], { axis: -1 });
  };
  const added = [
    ...(relative.contentToPosition ? [against(query, linears.key, bucket)] : []),
    ...(relative.positionToContent
      ? [
          graph.op('Transpose', [against(key, linears.query, graph.op('Neg', [bucket]))], {
            perm: [0, 1, 3, 2],
          }),
        ]
      : []),
  ];
  return added.reduce((sum, one) => graph.op('Add', [sum, one]), scores);
}

/** Emits the positions of the table as heads: [heads, headDim, 2 · span]. */
function emitPositionHeads(
  graph: GraphBuilder,
  { norm, numHeads, headDim }: AttentionContext['shape'],
  weights: RelativeWeights,
  linear: Linear | undefined,
): Value {
  const stored = emitWeight(graph, weights.table);
  const table = weights.norm === undefined ? stored : emitNorm(graph, norm, stored, weights.norm);
  const projected = linear === undefined ? table : emitLinear(graph, linear, table);
  const heads = graph.op('Reshape', [projected, graph.ints([-1, numHeads, headDim])]);
  return graph.op('Transpose', [heads], { perm: [1, 2, 0] });
}

/** Emits the buckets of i − j: int64 [sequence, sequence]. */
function emitBuckets(graph: GraphBuilder, shape: RelativeShape, size: Value): Value {
  const length = graph.op('Squeeze', [graph.op('Slice', [size, graph.ints([2]), graph.ints([3])])]);
  const columns = graph.op('Range', [graph.ints([0], []), length, graph.ints([1], [])]);
  const behind = graph.op('Sub', [graph.op('Unsqueeze', [columns, graph.ints([1])]), columns]);
  if (shape.buckets === undefined) {
    return behind;
  }
  const { farthest } = shape;
  const distances = Array.from({ length: 2 * farthest + 1 }, (_, i) => i - farthest);
  const table = graph.ints(
    distances.map((distance) => bucketIndex(distance, shape.buckets ?? 0, farthest)),
    [distances.length],
  );
  const far = graph.ints([farthest], []);
  const clipped = graph.op('Clip', [behind, graph.op('Neg', [far]), far]);
  return graph.op('Gather', [table, graph.op('Add', [clipped, far])]);
}

function bucketIndex(distance: number, buckets: number, farthest: number): number {
  const half = Math.trunc(buckets / 2);
  const size = Math.abs(distance);
  if (size <= half) {
    return distance;
  }
  const share = Math.log(size / half) / Math.log((farthest - 1) / half);
  return Math.sign(distance) * (Math.ceil(share * (half - 1)) + half);
}
