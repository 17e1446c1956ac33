import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLength } from '../../onnx/emit-sequence';
import { say } from '../../message';
import type { AttentionSource, FindAttentionPart } from './attention-part';
import { emitRows } from './weight';

/** Relative position bias of the scores by distance of key and query (T5, arXiv 1910.10683). */
export interface DistanceBias {
  /** [buckets, heads] */
  readonly table: LazyTensor;
  /** Larger distances are all in one bucket. */
  readonly farthest: number;
  /** True for causal attention. Otherwise half of the buckets are for keys after their query. */
  readonly causal: boolean;
}

/** Name of a table [buckets, heads] of biases by distance, and its shape. */
interface DistanceBiasNames extends Pick<DistanceBias, 'farthest' | 'causal'> {
  readonly table: string;
  readonly buckets: number;
}

/** Finds a table of biases by distance. */
export const findDistanceBias = (
  tensors: Pick<AttentionSource['tensors'], 'take'>,
  { table, buckets, ...bias }: DistanceBiasNames,
  heads: number,
): DistanceBias => ({ ...bias, table: tensors.take(`${table}.weight`, [buckets, heads]) });

interface OwnDistanceBiasNames extends Pick<DistanceBias, 'causal'> {
  /** Module of the table, below each block. */
  readonly table: string;
}

/** Biases by distance of each attention, in a table below its block. */
export const distanceBias: FindAttentionPart<OwnDistanceBiasNames> = (
  { table, causal },
  { config, tensors, prefix, shape: { numHeads } },
) => {
  const names = {
    table: `${prefix}${table}`,
    buckets: Number(config['relative_attention_num_buckets']),
    farthest: Number(config['relative_attention_max_distance']),
    causal,
  };
  const bias = findDistanceBias(tensors, names, numHeads);
  return {
    tensors: [bias.table],
    dependsOnHeads: true,
    label: say`bias by distance`,
    scores: (graph, scores, { key }, { input }) => {
      const [queries, keys] = [emitLength(graph, input, 1), emitLength(graph, key, 2)];
      const added = emitAttentionDistances(graph, bias, { queries, keys });
      return graph.op('Add', [scores, added]);
    },
  };
};

/** Emits [1, heads, queries, keys] of how far each key is `ahead` of each query: [queries, keys]. */
export function emitDistanceBias(graph: GraphBuilder, bias: DistanceBias, ahead: Value): Value {
  const { table, farthest } = bias;
  const distances = Array.from({ length: 2 * farthest + 1 }, (_, i) => i - farthest);
  const buckets = graph.ints(
    distances.map((distance) => bucketIndex(bias, distance)),
    [distances.length],
  );
  const far = graph.ints([farthest], []);
  const clipped = graph.op('Clip', [ahead, graph.op('Neg', [far]), far]);
  const bucket = graph.op('Gather', [buckets, graph.op('Add', [clipped, far])]);
  const byHead = graph.op('Transpose', [emitRows(graph, table, bucket)], { perm: [2, 0, 1] });
  return graph.op('Unsqueeze', [byHead, graph.ints([0])]);
}

/** The same of the last `queries` of `keys` positions, int64 [1] each. */
function emitAttentionDistances(
  graph: GraphBuilder,
  bias: DistanceBias,
  { queries, keys }: Readonly<Record<'queries' | 'keys', Value>>,
): Value {
  const total = graph.op('Squeeze', [keys]);
  const first = graph.op('Sub', [total, graph.op('Squeeze', [queries])]);
  const step = graph.ints([1], []);
  const columns = graph.op('Range', [graph.ints([0], []), total, step]);
  const rows = graph.op('Unsqueeze', [graph.op('Range', [first, total, step]), graph.ints([1])]);
  return emitDistanceBias(graph, bias, graph.op('Sub', [columns, rows]));
}

/** Bucket of a distance: one per small distance, logarithmic for others. transformers rounds the logarithms to float32. */
function bucketIndex({ table, farthest, causal }: DistanceBias, ahead: number): number {
  const [all = 1] = table.shape;
  const count = causal ? all : Math.trunc(all / 2);
  const near = Math.trunc(count / 2);
  const distance = causal ? Math.max(0, -ahead) : Math.abs(ahead);
  const share = Math.fround(
    Math.fround(Math.log(Math.fround(distance / near))) / Math.fround(Math.log(farthest / near)),
  );
  const bucket =
    distance < near
      ? distance
      : Math.min(count - 1, near + Math.trunc(Math.fround(share * (count - near))));
  return !causal && ahead > 0 ? count + bucket : bucket;
}
