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
  /** [width, hidden] each, width being `dim`, or 2 · dim where a run's key is made of the run before as well. */
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
  /** [numHeads, hidden]: factors on what heads score. */
  readonly weights: Linear;
}

/**
 * Parts of attention whose heads share one key, which is also the value. It attends to a window of recent tokens and
 * to compressed runs of all tokens (DeepSeek-V4).
 */
export interface CompressedParts {
  /** Of groups of heads, in front of the output. */
  readonly groups: Linear;
  /** Of what attends to near tokens alone there is none. */
  readonly compressor?: Compressor;
  /** Absent where a token looks at every compressed run. */
  readonly indexer?: Indexer;
}

/** Below a block, the modules of a compressor; `places` is the full name of a tensor. */
interface CompressorNames {
  readonly values: string;
  readonly gate: string;
  readonly places: string;
  readonly norm: string;
}

/** Names of what such an attention has, below a block. */
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
  /** Groups of heads in front of the output, and the width of what each gives. */
  readonly groups: number;
  readonly groupRank: number;
  /** Tokens of a run; undefined of a block that has none. */
  readonly rate: number | undefined;
  /** Sizes of the indexer, if tokens attend only to selected runs. */
  readonly indexer: Pick<Indexer, 'numHeads' | 'headDim' | 'best'> | undefined;
}
