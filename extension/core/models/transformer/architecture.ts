import type {
  AltUpNames,
  BlockEndNames,
  ConnectionNames,
  LaurelNames,
  PerLayerNames,
} from './block-end-names';
import type { WiringNames } from '../modules/wiring-names';
import type { ConfigFields, ConfigLayout, ModelConfig } from './model-config';
import type { AttentionPartNames } from '../modules/attention-parts';
import type { MlpPartNames } from '../parts/mlp-part';
import type { MoePartNames } from '../parts/moe-part';
import type { CompressedNames, CompressedShape } from '../parts/compressed/compressed-parts';
import type { LatentNames, LatentShape } from '../parts/latent-heads';
import type { MixerForm } from '../parts/mixers/mixer-form';
import type { NormKind } from '../parts/norm';
import type { Routing } from '../parts/routing';
import type { SharedNames } from '../shared-modules';
import type { Message } from '../../message';

/**
 * Row order of a fused query, key and value matrix; concatenated if absent. `by-group`: for each key/value head its
 * queries, key and value; `by-quarter`: four times a quarter of the heads of each.
 */
export type FusedOrder = 'by-group' | 'query-value-key-by-quarter';

/** Order of gate and up in one matrix, if it isn't gate before up. */
export type GateUpOrder = 'up-gate' | 'alternating';

/** Names of linear layers, or of one matrix that holds several. */
export type Projection<Order extends string = string> =
  | readonly string[]
  | { readonly fused: string; readonly order?: Order };

/** Names of the matrices of a projection. */
export const projectionNames = (projection: Projection): readonly string[] =>
  'fused' in projection ? [projection.fused] : projection;

/** Linear layers that have a bias. */
export interface Biases {
  readonly queryKeyValue: boolean;
  /** Bias of keys, if it differs from `queryKeyValue`. */
  readonly key?: boolean;
  readonly attentionOutput: boolean;
  readonly feedforward: boolean;
  /** Bias of the down projection, if it differs from `feedforward`. */
  readonly feedforwardOutput?: boolean;
}

/** A table of positions. */
interface LearnedPositions {
  readonly name: string;
  readonly offset: number;
}

/** Sines and then cosines of position + offset over 10000^(i / divisor), i < hidden / 2 (arXiv 1706.03762). */
export interface SinePositions {
  readonly offset: number;
  readonly divisor: (half: number) => number;
}

/** Names of the tensors outside the blocks, below a prefix. */
export interface EmbeddingAndHeadNames {
  /**
   * Prefixes of every name except the head's. The first one under which the embedding exists is
   * used.
   */
  readonly prefixes: readonly string[];
  readonly embedding: string;
  /** Added to the embedding: row position + offset of a table, or sines of position + offset. */
  readonly positions?: LearnedPositions | SinePositions;
  /** Table of segments, in encoders. */
  readonly types?: string;
  /** Norm of the embedding before positions are added. */
  readonly wordNorm?: string;
  /** Norm of the embedding. */
  readonly embeddingNorm?: string;
  /**
   * Linear layers, without biases, between the embedding's width and the hidden size if these
   * differ.
   */
  readonly projections?: { readonly in: string; readonly out: string };
  readonly finalNorm?: string;
  readonly perLayer?: PerLayerNames;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  /** The first of these names that the checkpoint has; `lm_head` when absent. */
  readonly heads?: readonly string[];
  readonly headBias?: boolean;
}

/** Scales and soft caps (x → cap · tanh(x / cap)); 1 and undefined by default. */
export interface Scales {
  readonly embedding: number;
  /** On each branch before it is added to the residual stream. */
  readonly residual: number;
  /** Factor on attention scores. Defaults to headDim^−½. */
  readonly attention: number | undefined;
  readonly attentionSoftCap: number | undefined;
  readonly logits: number;
  readonly logitSoftCap: number | undefined;
}

/**
 * Values that a norm of queries or keys is computed over: each head, with shared weights or
 * (`each-head`) its own; or all heads together.
 */
export type QueryKeyNormExtent = 'head' | 'each-head' | 'projection';

/**
 * Tensor names of an MoE layer. Each expert has its own tensors,
 * `<module>.experts.<number>.<name>.weight`, or all experts share two, named in `joined`.
 */
export interface ExpertNames {
  /** Possible module names of router and experts; a checkpoint has one of them. Empty for the block itself. */
  readonly modules: readonly string[];
  readonly router: string;
  readonly routerBias?: boolean;
  /** Tensor of the module that is added to what experts are chosen by. */
  readonly choiceBias?: string | undefined;
  /** Gate and up projections, or only up without a gate. */
  readonly gateUp: readonly string[];
  readonly down: string;
  /** Parts of each expert and of the shared expert. */
  readonly expertParts?: MlpPartNames;
  readonly joined?: JoinedExperts;
  readonly count?: (config: ModelConfig) => number;
  readonly inner: (config: ModelConfig) => number;
  /** Routing of tokens to experts. Defaults to Mixtral's. */
  readonly routing?: (config: ModelConfig) => Partial<Routing>;
  /** Wiring, if it differs from that of the MLPs of other blocks. */
  readonly wiring?: WiringNames;
  /** Parts that only some architectures have, in order. */
  readonly parts?: MoePartNames;
  /**
   * Shared expert, an MLP applied to every token in addition to the chosen experts. Its names are
   * below the block's.
   */
  readonly shared?: (config: ModelConfig) => SharedExpertNames | undefined;
  /** True if a block has experts instead of an MLP. */
  readonly isSparse: (config: ConfigFields, block: number) => boolean;
  /** Fields of config.json that select the blocks with experts, if it has no list per block. */
  readonly sparseFields?: (sparse: readonly boolean[]) => ConfigFields;
}

export interface SharedExpertNames {
  readonly gateUp: Projection;
  readonly down: string;
  readonly inner: number;
  /** [1, hidden]; its sigmoid is a factor on the result. */
  readonly gate?: string;
}

/** Names below the module: [experts, 2 · inner, hidden], or gate and up by themselves, and [experts, hidden, inner]. */
interface JoinedExperts {
  readonly gateUp: string | readonly [gate: string, up: string];
  /** Names of gate and up in checkpoints that store them separately, though others join them. */
  readonly apart?: readonly [gate: string, up: string];
  readonly order?: GateUpOrder;
  readonly down: string;
  /** [experts, hidden, 2 · inner] and [experts, inner, hidden]; `down`: the latter alone. */
  readonly transposed?: boolean | 'down';
  /** True if the first two axes are flattened into one. Single experts can't be removed then. */
  readonly flat?: boolean;
  /** Each has a bias: `<name>_bias`, or `.bias` where the name ends in `.weight`. */
  readonly biases?: boolean;
}

/** Kind of a removable part of a block. A block has at most one of each kind. */
export type PartKind = 'attention' | 'mixer' | 'feedforward' | 'expert';

/** Tensor names of SSM and linear-attention layers, which carry a state along the sequence. */
export interface MixerNames {
  readonly wiring: WiringNames;
  /** Prefix of the tensor names. */
  readonly module: string;
  readonly form: (config: ModelConfig) => MixerForm;
  /** True if the module in transformers returns a pair, as attention does. */
  readonly givesPair?: boolean;
}

/** Number, size and score scale of a block's attention heads. */
export interface OwnHeads {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Size of a head's value. */
  readonly valueDim: number;
  /** Factor on attention scores. */
  readonly scale: number;
}

/** Temperature tuning of Llama 4 queries: scale and positions. */
export interface QueryGrowth {
  readonly scale: number;
  readonly period: number;
  readonly offset: number;
  /** True if it only applies to blocks without rotary embedding. */
  readonly onlyUnrotated?: boolean;
}

/** Architecture of a block. Names are below the block's prefix. */
export interface BlockArchitecture {
  readonly attention: {
    readonly wiring: WiringNames;
    /** Query, key and value; query and key if keys are also the values. */
    readonly queryKeyValue: Projection<FusedOrder>;
    /** Latent projections of multi-head latent attention (MLA). */
    readonly latent?: LatentNames;
    /** Tensors of attention to compressed runs of tokens (DeepSeek-V4). */
    readonly compressed?: CompressedNames;
    readonly output: string;
    /** Tensor added to the output of `output`, in blocks that have it. */
    readonly outputBias?: string;
    /** Norms of queries and keys before the rotary embedding. */
    readonly queryKeyNorms?: {
      /** Absent if the norms have no weights. */
      readonly query?: string;
      readonly key?: string;
      readonly over: QueryKeyNormExtent;
      /** True if the norms are applied after the rotary embedding. */
      readonly afterRotary?: boolean;
    };
    /** Parts that only some architectures have, in order. */
    readonly parts?: AttentionPartNames;
  };
  /** Attention to the output of an encoder, after the attention of each block. */
  readonly crossAttention?: BlockArchitecture['attention'];
  readonly feedforward: {
    readonly wiring: WiringNames;
    /** Gate and up projections, or only up without a gate. */
    readonly gateUp: Projection<GateUpOrder>;
    readonly down: string;
    /** Parts that only some architectures have, in order. */
    readonly parts?: MlpPartNames;
  };
  /** MoE layers that replace MLPs, with the same norms. */
  readonly experts?: ExpertNames;
  readonly mixer?: MixerNames;
  /**
   * Tensor names of modules that several blocks share, in blocks where one takes the role of
   * attention.
   */
  readonly shared?: SharedNames;
  /** Sizes of a block's attention to compressed runs of tokens. */
  readonly compressed?: (config: ModelConfig, block: number) => CompressedShape;
  /** Tensor names of hyper-connections, which connect sublayers with several streams. */
  readonly connections?: ConnectionNames;
  /** Parts of a block, in order. Defaults to attention followed by an MLP or experts. */
  readonly parts?: (config: ModelConfig, block: number) => readonly PartKind[];
  readonly biases: (config: ModelConfig) => Biases;
  /** One rotary embedding, one for each type of layer, or none. */
  readonly rotary: 'shared' | 'by-layer-type' | 'none';
  /** True if dimension 2i is rotated with 2i + 1, instead of i with i + half. */
  readonly interleavedRotary?: boolean;
  /** True if queries and keys are rotated in the opposite direction. */
  readonly reversedRotary?: boolean;
  /** Heads of a block, if they differ from the model's. */
  readonly heads?: (config: ModelConfig, block: number) => Partial<OwnHeads>;
  /** Number of MLP channels of a block, if it differs from the model's. */
  readonly innerSize?: (config: ModelConfig, block: number) => number;
  /**
   * Earlier block whose keys and values this block's attention uses, or undefined to use its own.
   */
  readonly sharedKeysBlock?: (config: ModelConfig, block: number) => number | undefined;
  /** True (default) if a block's queries and keys are rotated. */
  readonly turns?: (config: ModelConfig, block: number) => boolean;
  /**
   * Number of past positions in a block's attention window, including the current one, or undefined
   * for all.
   */
  readonly slidingWindow: (config: ModelConfig, block: number) => number | undefined;
  /** Parts that depend on the block. */
  readonly blockForm?: (
    config: ModelConfig,
    block: number,
  ) => Partial<Pick<Architecture, 'attention' | 'mixer' | 'feedforward'>>;
}

/** Architecture of a decoder-only model: token embedding, blocks, final norm, LM head. */
export interface Architecture extends BlockArchitecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** `model_type` of the text model, if only that part of a multimodal model is run. */
  readonly textType?: string;
  /**
   * `model_type` of a multimodal model whose config.json may have the text model's fields at the
   * top level.
   */
  readonly flatType?: string;
  /** True if transformers reads rows of the embedding's weight to merge images into the text. */
  readonly readsEmbedding?: boolean;
  /**
   * Classes in transformers, if their names don't follow from the type. For multimodal models,
   * those of the text model.
   */
  readonly classes?: {
    readonly config: string;
    readonly model: string;
    /** Auto class that loads the model, if AutoModelForCausalLM does not. */
    readonly auto?: string;
  };
  /**
   * Names of a block's modules in transformers, by module name in the checkpoint, if these differ.
   */
  readonly moduleNames?: Readonly<Record<string, string>>;
  /**
   * Why modules in transformers don't match the tensor names, as a sentence; undefined if they
   * match.
   */
  readonly otherModules?: Message;
  /** True if the class in transformers rejects a `layer_types` that lacks one of the types. */
  readonly needsEachLayerType?: true;
  /**
   * Branches whose modules in transformers take the residual as second argument and add it
   * themselves.
   */
  readonly addsStreamInside?: readonly ('attention' | 'feedforward')[];
  /** Return type of attention in transformers, if it isn't a pair. */
  readonly attentionGives?: 'list' | 'triple';
  /** Limits of running its models, as sentences for docs. */
  readonly limits?: string;
  readonly config?: ConfigLayout;
  readonly embeddingAndHead: EmbeddingAndHeadNames;
  readonly norm: NormKind;
  /**
   * True if a block's computation depends on its number, which it keeps when others are removed.
   */
  readonly dependsOnNumber?: boolean;
  /** Weights are stored as [in, out]. */
  readonly transposed?: boolean;
  readonly altUp?: AltUpNames;
  readonly laurel?: LaurelNames;
  readonly end?: BlockEndNames;
  /**
   * ALiBi slope of each head: decrease of its attention scores per position of distance (arXiv
   * 2108.12409).
   */
  readonly slopes?: (config: ModelConfig) => readonly number[] | undefined;
  /** Maximum sequence length, if it isn't `max_position_embeddings`. */
  readonly maxPositions?: (config: ModelConfig) => number;
  readonly scales?: (config: ModelConfig) => Partial<Scales>;
  /** Sizes of the latents of multi-head latent attention. */
  readonly latent?: (config: ModelConfig) => LatentShape;
  /** Queries grow with their position p: × (1 + scale · ln(1 + ⌊(p + offset) / period⌋)). */
  readonly queryGrowth?: (config: ModelConfig) => QueryGrowth | undefined;
  /** Alternative spellings of parts of tensor names in checkpoints. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Parts that depend on the config. */
  readonly form?: (config: ModelConfig) => Partial<Architecture>;
}

/** Parts of a block, in order. */
export function blockParts(
  family: BlockArchitecture,
  config: ModelConfig,
  block: number,
): readonly PartKind[] {
  const second = family.experts?.isSparse(config, block) === true ? 'expert' : 'feedforward';
  return family.parts?.(config, block) ?? ['attention', second];
}

/** Wiring of a part. */
export function partWiring(family: BlockArchitecture, part: PartKind): WiringNames {
  const { attention, mixer, feedforward, experts } = family;
  const { wiring } = { attention, mixer, feedforward, expert: experts }[part] ?? {};
  return wiring ?? feedforward.wiring;
}

/** Error for an incomplete architecture definition. */
export function failIncomplete(what: string): never {
  throw new Error(`a family names ${what} that it does not describe`);
}
