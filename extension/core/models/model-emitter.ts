import type { Dimension, GraphBuilder, Value } from '../onnx/graph-builder';
import type { Linear } from './parts/linear';

/** Inputs of the prologue as graph edges. */
export interface ModelInputs {
  /** int64 [batch, sequence] */
  readonly inputIds: Value;
  /** int64 [batch, total], 1 for tokens to attend to; total = past + sequence */
  readonly attentionMask: Value;
  /** int64 [batch, sequence] */
  readonly positionIds: Value;
}

/** Graph edges by value name. */
export type Values = Readonly<Record<string, Value>>;

/** Shape of a side value; all are float32. */
export interface SideValue {
  readonly name: string;
  readonly shape: readonly Dimension[];
}

/** Names of a sublayer's cache inputs and outputs (keys and values or state), float32. */
export interface SublayerCache {
  /** [batch, ...sizes], `positions` standing for the number of earlier ones. */
  past(name: string, sizes: readonly (number | 'positions')[]): Value;
  keep(name: string, value: Value): void;
}

/** Emits an MoE layer up to its routing, and names the results by {@link routedNames}. */
export interface RoutingAlone {
  readonly part: 'route';
}

/** Emits an MoE layer without its router and experts. */
export interface ExpertSum {
  readonly part: 'join';
  /** float32 [rows, hiddenSize]: sum of the weighted outputs of the experts. */
  readonly sum: Value;
}

/** Names of the values between the parts of an MoE layer whose experts run separately. */
export const routedNames = {
  /** float32 [rows, hiddenSize]: input of the experts. */
  rows: 'routed.rows',
  /** int64 [rows, perToken]: experts of each row. */
  chosen: 'routed.chosen',
  /** float32 [rows, perToken] after routing, [rows, 1] for one expert: weights of the experts. */
  shares: 'routed.shares',
  /** float32 [rows, hiddenSize]: weighted output of an expert. */
  output: 'routed.output',
  /** float32 [rows, hiddenSize] */
  sum: 'routed.sum',
} as const;

/** Options for emitting a sublayer. */
export interface EmitOptions {
  readonly cache?: SublayerCache;
  /** float32 [batch, count], added to the router scores. */
  readonly expertMask?: Value;
  /** Experts in the graph. Defaults to all. */
  readonly remainingExperts?: readonly number[] | undefined;
  /** Part of an MoE layer to emit, if its experts run separately: the routing, or everything after the sum of the experts. */
  readonly apart?: RoutingAlone | ExpertSum;
}

/** Emits selected outputs [rows, count] of a head's linear layer for inputs [rows, in]. */
export type HeadOutputs = (head: Linear, rows: Value) => Value;

/** Hidden size of a model. */
export const streamWidth = ({
  hiddenSize,
  streamWidth: width = hiddenSize,
}: Pick<ModelEmitter, 'hiddenSize' | 'streamWidth'>): number => width;

/** True if sublayers mix several streams instead of adding to one. */
export const mixesStreams = (emitter: ModelEmitter | undefined): boolean =>
  emitter !== undefined && streamWidth(emitter) > emitter.hiddenSize;

/** Name of the residual stream in a state. */
export const stream = 'hidden';

/** Arguments that a sublayer is emitted with. */
export type SublayerCall = [
  graph: GraphBuilder,
  index: number,
  state: Values,
  side: Values,
  options?: EmitOptions,
];

/** Parts of a model for a graph that decodes token by token. */
export type StepEmitter = Pick<
  ModelEmitter,
  'emitPrologue' | 'emitSublayer' | 'emitSkipped' | 'emitEpilogue' | 'vocabularySize'
>;

/**
 * Emits the parts of a language model into a graph whose initializers point into the model's own
 * files. State values are float32 [batch, sequence, hidden], and the epilogue maps each position
 * independently.
 */
export interface ModelEmitter {
  /** Every side value the prologue emits. */
  readonly sideValues: readonly SideValue[];
  emitPrologue(graph: GraphBuilder, inputs: ModelInputs): { state: Values; side: Values };
  /** Names of the side values that sublayer `index` needs. */
  sidesOf(index: number): readonly string[];
  /** Names of the state's values before sublayer `index`. */
  stateNames(index: number): readonly string[];
  emitSublayer(...call: SublayerCall): Values;
  /**
   * State after sublayer `index` if it is removed: norms of its sum and block ends are still
   * applied.
   */
  emitSkipped(graph: GraphBuilder, index: number, state: Values, side: Values): Values;
  /** Logits [batch, sequence, vocabulary] of the stream. */
  emitEpilogue(graph: GraphBuilder, hidden: Value): Value;
  emitFinalNorm(graph: GraphBuilder, hidden: Value): Value;
  /**
   * Logits [rows, vocabulary] of normed rows [rows, hidden].
   * @param outputs computes some of the outputs of the head's linear layer, [rows, count]; all when absent
   */
  emitHead(graph: GraphBuilder, rows: Value, outputs?: HeadOutputs): Value;
  /**
   * True if the head has no bias, soft cap or compressed encoding, so that head(a) − head(b) =
   * head(a − b).
   */
  readonly headIsLinear: boolean;
  /** Sizes of what sublayers and the head read, and of the logits. */
  readonly hiddenSize: number;
  /** Size of the stream where it is several side by side; `hiddenSize` when absent. */
  readonly streamWidth?: number;
  readonly vocabularySize: number;
}
