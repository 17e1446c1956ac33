import type { ModelSummary, SublayerSummary } from '../model-summary';

/**
 * Removable branch of a graph with its costs. Convolutions are counted for one position; keys and values if the graph
 * has a cache of fixed width.
 */
export interface OnnxSublayer extends SublayerSummary {
  /** Names of the nodes that go when the sublayer is removed. */
  readonly nodes: readonly string[];
}

/** An input or output of a graph. */
export interface OnnxPort {
  readonly name: string;
  readonly dtype: string;
  /** Numbers, names of sizes known only when the graph runs, or `?`; undefined without a rank. */
  readonly shape: readonly (number | string)[] | undefined;
}

/** Report of `inspect` on an ONNX model, from its structure alone. */
export interface OnnxSummary extends ModelSummary {
  readonly architecture: 'onnx';
  readonly sublayers: readonly OnnxSublayer[];
  /** Version of ONNX's own operators. */
  readonly opset: number;
  /** Versions of all operator sets, by domain. */
  readonly opsets: Readonly<Record<string, number>>;
  /** Number of nodes by operator, including nested graphs and functions. */
  readonly ops: Readonly<Record<string, number>>;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly metadata: Readonly<Record<string, string>>;
}
