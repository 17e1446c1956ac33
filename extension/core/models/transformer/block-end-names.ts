import type { ModelConfig } from './model-config';

/**
 * Per-layer embeddings (Gemma 3n): for each token, rows of a table and a projection of its
 * embedding, read by every block.
 */
export interface PerLayerNames {
  readonly table: string;
  readonly projection: string;
  readonly norm: string;
  /** Width of a token's embedding per block, or undefined if a model has none. */
  readonly width: (config: ModelConfig) => number | undefined;
}

/** Operations at the end of a block. They remain if the block's sublayers are removed. */
export interface BlockEndNames {
  /** x + norm(projection(activation(gate(x)) · the token's per-layer embedding)). */
  readonly perLayer?: { readonly gate: string; readonly projection: string; readonly norm: string };
  /** Tensor [hidden] that scales the input of `perLayer`. */
  readonly scale?: (config: ModelConfig) => string | undefined;
  /** Tensor [1] that the stream is multiplied by. */
  readonly factor?: string;
}

/** Names of tensors of AltUp. */
export interface AltUpNames {
  readonly count: (config: ModelConfig) => number;
  /** Outside the blocks, `<name>.<number>` or one tensor of all: from the first stream to the others, and back. */
  readonly enter: string;
  readonly leave: string;
  readonly norm: string;
  readonly router: string;
  /**
   * Prediction coefficients, applied before a block's sublayers, and correction coefficients,
   * applied after them.
   */
  readonly predict: string;
  readonly correct: string;
}

/** Low-rank residual branch in parallel to attention (LAuReL, arXiv 2411.07501). */
export interface LaurelNames {
  readonly rank: (config: ModelConfig) => number;
  readonly left: string;
  readonly right: string;
  readonly postNorm: string;
}

/** Names of the tensors of hyper-connections. */
export interface ConnectionNames {
  readonly count: (config: ModelConfig) => number;
  /** Rounds in which rows and columns of a mixing matrix are made to add up to 1. */
  readonly rounds: (config: ModelConfig) => number;
  /** Added to factors, and to sums that are divided by. */
  readonly epsilon: (config: ModelConfig) => number;
  /** Prefix of the three tensor names, below the block's prefix. */
  readonly attention: string;
  readonly feedforward: string;
  /** Prefix outside the blocks, after the last one. */
  readonly head: string;
  /** Suffix of the names. */
  readonly ending?: string;
  /** Modules of a block in transformers. */
  readonly modules: Readonly<Record<'attention' | 'feedforward', string>>;
}
