import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { Linear } from '../linear';
import type { Norm } from '../norm';

/**
 * Compresses each run of tokens into one key, which is also the value: the sum of the token values, weighted per
 * channel by a softmax over the run (DeepSeek-V4).
 */
export interface Compressor {
  /** Tokens of a run. */
  readonly rate: number;
  /** [width, hidden] each; width is `dim`, or 2 · dim if the key of a run also depends on the previous run. */
  readonly values: Linear;
  readonly gate: Linear;
  /** [rate, width]: added to the gates. */
  readonly places: LazyTensor;
  /** [dim] */
  readonly norm: Norm;
}

/** Selects the compressed keys that a token attends to, with its own queries and keys. */
export interface Indexer {
  readonly compressor: Compressor;
  readonly numHeads: number;
  readonly headDim: number;
  /** Number of compressed keys that a token attends to. */
  readonly best: number;
  /** [numHeads · headDim, latent of queries] */
  readonly query: Linear;
  /** [numHeads, hidden]: weights of the heads' scores. */
  readonly weights: Linear;
}

/**
 * Parts of attention with a single key head that is also the value. It attends to a window of recent tokens and to
 * compressed runs of all tokens (DeepSeek-V4).
 */
export interface CompressedParts {
  /** Grouped projection of heads before the output projection. */
  readonly groups: Linear;
  /** Absent for attention to recent tokens only. */
  readonly compressor?: Compressor;
  /** Absent if tokens attend to every compressed run. */
  readonly indexer?: Indexer;
}

/** Module paths of a compressor below a block; `places` is a full tensor name. */
interface CompressorNames {
  readonly values: string;
  readonly gate: string;
  readonly places: string;
  readonly norm: string;
}

/** Tensor names of compressed attention below a block. */
export interface CompressedNames {
  readonly queryDown: string;
  readonly queryNorm: string;
  readonly queryUp: string;
  readonly key: string;
  readonly keyNorm: string;
  readonly groups: string;
  readonly compressor: CompressorNames;
  readonly indexer: {
    readonly query: string;
    readonly weights: string;
    readonly compressor: CompressorNames;
  };
}

/** Sizes of attention that reads compressed runs of tokens. */
export interface CompressedShape {
  /** Width of the queries' latent. */
  readonly queryRank: number;
  /** Number of head groups before the output projection, and their output width. */
  readonly groups: number;
  readonly groupRank: number;
  /** Tokens per run; undefined for blocks without compression. */
  readonly rate: number | undefined;
  /** Sizes of the indexer, if tokens attend only to selected runs. */
  readonly indexer: Pick<Indexer, 'numHeads' | 'headDim' | 'best'> | undefined;
}
