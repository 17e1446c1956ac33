import type { Dimension, GraphBuilder, Value } from '../onnx/graph-builder';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { ModelSummary } from './model-summary';

/** Inputs of the prologue, as edges of a graph. */
export interface ModelInputs {
  /** int64 [batch, sequence] */
  readonly inputIds: Value;
  /** int64 [batch, total], 1 where a token may be attended; total = past + sequence */
  readonly attentionMask: Value;
  /** int64 [batch, sequence] */
  readonly positionIds: Value;
}

/** Values that sublayers need besides the residual stream, by name. */
export type SideValues = Readonly<Record<string, Value>>;

/** Shape of a side value; all are float32. */
export interface SideValue {
  readonly name: string;
  readonly shape: readonly Dimension[];
}

/** Keys and values of earlier positions, float32 [batch, numKeyValueHeads, past, headDim]. */
export interface KeyValueCache {
  readonly key: Value;
  readonly value: Value;
}

/** How many heads a key/value cache has. */
export interface CacheShape {
  readonly numKeyValueHeads: number;
  readonly headDim: number;
}

/**
 * A model as a residual stream: prologue(inputs) → h₀ and side values; sublayer i: hᵢ → hᵢ + f(hᵢ);
 * epilogue(h) → logits. Hidden states are float32 [batch, sequence, hidden]. Each part is emitted
 * into a graph whose initializers point into the model's own files.
 */
export interface LayeredModel {
  readonly summary: ModelSummary;
  /** Every side value the prologue emits. */
  readonly sideValues: readonly SideValue[];
  emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { hidden: Value; side: SideValues };
  /** Names of the side values that sublayer `index` needs. */
  sideNames(index: number): readonly string[];
  /** With a cache, `present` holds the keys and values up to and including this sequence. */
  emitSublayer(
    graph: GraphBuilder,
    index: number,
    hidden: Value,
    side: SideValues,
    past?: KeyValueCache,
  ): { hidden: Value; present?: KeyValueCache };
  /** Cache of sublayer `index`, or undefined where it keeps none. */
  cacheShape(index: number): CacheShape | undefined;
  /** Logits [batch, sequence, vocabulary]. */
  emitEpilogue(graph: GraphBuilder, hidden: Value): Value;
  /** Tensors of sublayer `index`, as stored. */
  sublayerTensors(index: number): readonly LazyTensor[];
  /** @throws UserError naming a tensor whose dtype can be listed but not run. */
  requireRunnable(): void;
  /** Tensors of block N are named `${blocksPrefix}N.`; undefined where names tell nothing of blocks. */
  readonly blocksPrefix?: string;
  /** Where the weights lie. */
  readonly files: readonly string[];
}
