import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Message } from '../../message';
import type { ConfigFields } from '../transformer/model-config';
import type { Linear } from './linear';
import type { Norm, NormStyle } from './norm';
import type { FindPart } from '../transformer/part-tensors';

/** Sizes of an attention sublayer. */
interface AttentionSizes {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly headDim: number;
  /** Size of a head's value. */
  readonly valueDim: number;
  /** Factor on scores. */
  readonly scale: number;
  readonly norm: NormStyle;
}

/** Additional inputs for parts of attention. */
export interface AttentionContext {
  readonly shape: AttentionSizes;
  readonly queryKeyValue: readonly Linear[];
  /** Input of the attention: [batch, sequence, hidden]. */
  readonly input: Value;
}

/** Queries, keys and values: rows [rows, heads · size], or heads [batch, heads, sequence, size]. */
export interface Heads {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
  /** Gate of the outputs, if it is projected with the queries: [rows, heads · size]. */
  readonly gate?: Value;
}

/** Values that a part reads besides the concatenated outputs of the heads. */
export interface JoinedContext {
  readonly shape: AttentionSizes;
  /** Input of the attention: [rows, hidden]. */
  readonly rows: Value;
  /** See {@link Heads}. */
  readonly gate: Value | undefined;
}

/** A part that some architectures add to attention. It has its own tensors, and changes values on their way. */
export interface AttentionPart {
  readonly tensors?: readonly LazyTensor[];
  /** Linear layers. They keep their encoding if there is no `mapLinears`. */
  readonly linears?: readonly Linear[];
  /** Returns the part with other linear layers. */
  readonly mapLinears?: (map: (linear: Linear) => Linear) => AttentionPart;
  /** True if the part has values for each head, so that no head can be removed alone. */
  readonly dependsOnHeads: boolean;
  /** Label in diagrams. */
  readonly label?: Message;
  /** Number of rows of the query projection for each row of queries. Defaults to 1. */
  readonly queryRows?: number;
  /** Modifies the rows after the projections. */
  readonly projected?: (graph: GraphBuilder, rows: Heads) => Heads;
  /** Changes heads before they are cached. */
  readonly heads?: (graph: GraphBuilder, heads: Heads, context: AttentionContext) => Heads;
  /** Changes scores [batch, heads, queries, keys]. `heads` contain cached keys and values. */
  readonly scores?: (
    graph: GraphBuilder,
    scores: Value,
    heads: Heads,
    context: AttentionContext,
  ) => Value;
  /** Changes the mask that is added to the scores. */
  readonly mask?: (graph: GraphBuilder, mask: Value, context: AttentionContext) => Value;
  /** Replaces the softmax of scores and mask. */
  readonly probabilities?: (graph: GraphBuilder, scores: Value, mask: Value | undefined) => Value;
  /** Replaces the values of the heads by others that are `factor` times as wide. */
  readonly widened?: {
    readonly factor: number;
    readonly emit: (graph: GraphBuilder, values: Value) => Value;
  };
  /** Changes the outputs of the heads. */
  readonly attended?: (
    graph: GraphBuilder,
    outputs: Value,
    heads: Heads,
    context: AttentionContext,
  ) => Value;
  /** Changes the concatenated outputs of the heads [rows, heads · valueDim]. */
  readonly joined?: (graph: GraphBuilder, outputs: Value, context: JoinedContext) => Value;
}

/** Tensors of a checkpoint by name and shape. */
interface NamedTensors {
  take(name: string, shape: readonly number[]): LazyTensor;
  linear(name: string, out: number, input: number, bias: boolean): Linear;
  norm(name: string, ...shape: readonly number[]): Norm;
}

/** The model and the attention sublayer that a part is found for. */
export interface AttentionSource {
  readonly config: ConfigFields;
  readonly tensors: NamedTensors;
  readonly block: number;
  /** Prefix of the block's tensors. */
  readonly prefix: string;
  readonly shape: AttentionSizes;
  /** Prefix of an encoder's tensors outside the blocks. */
  readonly outside: string;
  /** Rows and columns of image patches. */
  readonly grid: readonly [height: number, width: number] | undefined;
}

export type FindAttentionPart<Names = object> = FindPart<AttentionPart, AttentionSource, Names>;

/** Emits the share of each key's value in each query's output, from scores and mask. */
export function emitProbabilities(
  graph: GraphBuilder,
  parts: readonly AttentionPart[],
  scores: Value,
  mask: Value | undefined,
): Value {
  const own = parts.find(({ probabilities }) => probabilities !== undefined)?.probabilities;
  return (
    own?.(graph, scores, mask) ??
    graph.op('Softmax', [emitMasked(graph, scores, mask)], { axis: -1 })
  );
}

/** Emits scores + mask. */
export const emitMasked = (graph: GraphBuilder, scores: Value, mask: Value | undefined): Value =>
  mask === undefined ? scores : graph.op('Add', [scores, mask]);
