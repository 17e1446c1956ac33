import type { SublayerKind } from '../model-summary';

/** One removable branch hᵢ₊₁ = hᵢ + f(hᵢ) of a graph, with what it costs. */
export interface OnnxSublayer {
  /** `block.N.KIND`, N counted from 0. */
  readonly id: string;
  readonly block: number;
  readonly kind: SublayerKind;
  /** Number of weights, norms and biases included. */
  readonly parameters: number;
  /** Bytes of those weights as stored. */
  readonly bytes: number;
  /** Two per weight of a product; convolutions are counted for one position. */
  readonly flopsPerToken: number;
  /** Bytes of keys and values kept per token, where the graph has a cache of fixed width. */
  readonly kvBytesPerToken: number;
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

/** What `inspect` reports of an ONNX model, read from its structure alone. */
export interface OnnxSummary {
  readonly name: string;
  /** Absolute path of the .onnx file. */
  readonly path: string;
  readonly architecture: 'onnx';
  readonly parameters: number;
  /** Bytes of all weights. */
  readonly bytes: number;
  readonly dtypes: Readonly<Record<string, number>>;
  readonly blocks: number;
  readonly sublayers: readonly OnnxSublayer[];
  /** Version of ONNX's own operators. */
  readonly opset: number;
  /** Versions of all operator sets, by domain. */
  readonly opsets: Readonly<Record<string, number>>;
  /** How many nodes there are of each operator, those of nested graphs and functions included. */
  readonly ops: Readonly<Record<string, number>>;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly metadata: Readonly<Record<string, string>>;
  /** SHA-256 over structure, places and samples of the weights. */
  readonly fingerprint: string;
  readonly warnings: readonly string[];
}
