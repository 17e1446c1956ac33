import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitNorm } from './norm';
import type { Norm, NormStyle } from './norm';
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

export interface RelativeWeights {
  /** [2 · span, hidden]: shared by all blocks. */
  readonly table: LazyTensor;
  readonly norm: Norm | undefined;
  /** Projections of positions; those of the content, [query, key, …], where absent. */
  readonly own?: { readonly query: Linear | undefined; readonly key: Linear | undefined };
}

interface Scored {
  readonly shape: { readonly norm: NormStyle; readonly numHeads: number; readonly headDim: number };
  readonly weights: RelativeWeights;
}

/**
 * Emits scores [batch, heads, sequence, sequence] with those of relative positions added; query and key
 * are [batch, heads, sequence, headDim].
 */
export function emitRelativeScores(
  graph: GraphBuilder,
  shape: Scored['shape'] & {
    readonly scale: number;
    readonly relative: RelativeShape | undefined;
  },
  {
    relative: weights,
    queryKeyValue,
  }: { readonly relative?: RelativeWeights; readonly queryKeyValue: readonly Linear[] },
  { scores, query, key }: { readonly scores: Value; readonly query: Value; readonly key: Value },
): Value {
  const { relative, scale } = shape;
  if (relative === undefined || weights === undefined) {
    return scores;
  }
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
    const positions = emitPositionHeads(graph, { shape, weights }, linear);
    const scaled = graph.op('Mul', [content, graph.scalar(scale)]);
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
  { shape: { norm, numHeads, headDim }, weights }: Scored,
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
