import type { ModelConfig } from './model-config';

/** What each token brings to every block besides the stream: rows of a table, and a projection of its embedding (Gemma 3n). */
export interface PerLayerNames {
  readonly table: string;
  readonly projection: string;
  readonly norm: string;
  /** Numbers a token brings to a block; undefined where a model has none. */
  readonly width: (config: ModelConfig) => number | undefined;
}

/** What stands behind a block's sublayers, and stays when they go. */
export interface BlockEndNames {
  /** x + norm(projection(activation(gate(x)) · what the token brings)). */
  readonly perLayer?: { readonly gate: string; readonly projection: string; readonly norm: string };
  /** Tensor [hidden] that what `perLayer` reads is multiplied by. */
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
  /** Coefficients in front of a block's sublayers, and behind them. */
  readonly predict: string;
  readonly correct: string;
}

/** A residual of low rank beside attention (LAuReL, arXiv 2411.07501). */
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
  /** What the names of the three tensors begin with, below a block's prefix, by branch. */
  readonly attention: string;
  readonly feedforward: string;
  /** The same outside the blocks, behind the last. */
  readonly head: string;
  /** What they end with, behind what they hold. */
  readonly ending?: string;
  /** Modules of a block in transformers. */
  readonly modules: Readonly<Record<'attention' | 'feedforward', string>>;
}
