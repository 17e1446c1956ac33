import type { ConfigFields, ConfigLayout } from './config-layout';
import type { ModelConfig } from './model-config';
import type { NormKind } from '../parts/norm';

/** Tensor names of one linear layer's weight, or of several that one matrix holds. */
export type Projection =
  | { readonly kind: 'separate'; readonly names: readonly string[] }
  | {
      readonly kind: 'fused';
      readonly name: string;
      /**
       * Order of the rows of query, key and value: one after the other when absent; `by-group`: for
       * each key/value head its queries, its key and its value.
       */
      readonly order?: 'by-group';
    };

/** Which linear layers have a bias. */
export interface Biases {
  readonly queryKeyValue: boolean;
  readonly attentionOutput: boolean;
  readonly feedforward: boolean;
}

/** Names of the tensors outside the blocks, below a prefix. */
export interface OuterNames {
  /** What stands before every name but the head's; the first under which the embedding is found. */
  readonly prefixes: readonly string[];
  readonly embedding: string;
  /** Learned positions, added to the embedding: row position + offset. */
  readonly positions?: { readonly name: string; readonly offset: number };
  readonly finalNorm: string;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  /** The first of these names that the checkpoint has; `lm_head` when absent. */
  readonly heads?: readonly string[];
  readonly headBias?: boolean;
}

/** Factors and soft caps (x → cap · tanh(x / cap)); 1 and undefined where a family has none. */
export interface Scales {
  readonly embedding: number;
  /** On each branch before it is added to the residual stream. */
  readonly residual: number;
  /** On the products of queries and keys; the usual one is headDim^−½. */
  readonly attention: number | undefined;
  readonly attentionSoftCap: number | undefined;
  readonly logits: number;
  readonly logitSoftCap: number | undefined;
}

/**
 * What a norm of queries or keys goes over: each head, with weights for all or (`each-head`) of its
 * own; or all heads at once.
 */
export type QueryKeyNormExtent = 'head' | 'each-head' | 'projection';

/** Names of the norms of a branch, each where the family has it. */
export interface BranchNorms {
  /** Of the branch's input. */
  readonly norm?: string;
  /** Of the branch's output, before it is added to the residual stream. */
  readonly postNorm?: string;
  /** Of the sum of both. */
  readonly sumNorm?: string;
}

/**
 * Mixtures of experts. Each expert has tensors of its own, `<module>.experts.<number>.<name>.weight`,
 * or all share two: `<module>.experts.gate_up_proj` [experts, 2 · inner, hidden] and `.down_proj`
 * [experts, hidden, inner].
 */
interface ExpertNames {
  /** Modules that hold router and experts, of which a checkpoint has one. */
  readonly modules: readonly string[];
  readonly router: string;
  /** Gate and up. */
  readonly gateUp: readonly [string, string];
  readonly down: string;
  readonly inner: (config: ModelConfig) => number;
  /** Whether the weights of a token's experts add up to 1. */
  readonly normalized: (config: ModelConfig) => boolean;
  /** Whether a block has experts, and not a feed-forward. */
  readonly isSparse: (config: ConfigFields, block: number) => boolean;
}

/**
 * How a family of models differs from the others. All are decoder-only: token embedding, blocks of
 * attention and feed-forward, final norm, head. Names are below the block's
 * prefix.
 */
export interface Architecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Classes in transformers, where they are not named after `modelType`. */
  readonly classes?: { readonly config: string; readonly model: string };
  readonly config?: ConfigLayout;
  readonly outer: OuterNames;
  readonly norm: NormKind;
  /** Weights are stored as [in, out]. */
  readonly transposed?: boolean;
  readonly attention: BranchNorms & {
    /** Query, key and value. */
    readonly queryKeyValue: Projection;
    readonly output: string;
    /** Norms of queries and keys before the rotary embedding. */
    readonly queryKeyNorms?: {
      readonly query: string;
      readonly key: string;
      readonly over: QueryKeyNormExtent;
    };
  };
  readonly feedforward: BranchNorms & {
    /** Gate and up, or up alone where nothing gates it. */
    readonly gateUp: Projection;
    readonly down: string;
  };
  /** Mixtures of experts in the place of feed-forwards, whose norms they have. */
  readonly experts?: ExpertNames;
  readonly biases: (config: ModelConfig) => Biases;
  /**
   * Whether a block's feed-forward reads the block's input, beside its attention; no when absent. Both
   * may then name the same norm.
   */
  readonly parallel?: boolean;
  /** One rotary embedding, one for each type of layer, or none. */
  readonly rotary: 'shared' | 'by-layer-type' | 'none';
  /** Dimension 2i is turned with 2i + 1, instead of i with i + half of them; whole heads alone. */
  readonly interleavedRotary?: boolean;
  /** Type of a block's attention where config.json has no `layer_types`. */
  readonly defaultLayerType?: (config: ConfigFields, block: number) => string;
  /** Number of past positions that a block's attention sees (itself included), or all. */
  readonly slidingWindow: (config: ModelConfig, block: number) => number | undefined;
  readonly scales?: (config: ModelConfig) => Partial<Scales>;
  /** What depends on the config besides. */
  readonly form?: (config: ModelConfig) => Partial<Architecture>;
}
