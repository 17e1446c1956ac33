import type {
  AltUpNames,
  BlockEndNames,
  ConnectionNames,
  LaurelNames,
  PerLayerNames,
} from './block-end-names';
import type { WiringNames } from '../modules/wiring-names';
import type { ConfigFields, ConfigLayout } from './config-layout';
import type { ModelConfig } from './model-config';
import type { CompressedNames, CompressedShape } from '../parts/compressed/compressed-parts';
import type { LatentNames, LatentShape } from '../parts/latent-heads';
import type { MixerForm } from '../parts/mixers/mixer-form';
import type { NormKind } from '../parts/norm';
import type { Routing } from '../parts/routing';
import type { SharedNames } from '../shared-modules';
import type { Message } from '../../message';

/**
 * Order of the rows of query, key and value where one matrix holds all: one after the other when
 * absent; `by-group`: for each key/value head its queries, its key and its value; `by-quarter`: four
 * times a quarter of the heads of each.
 */
export type FusedOrder = 'by-group' | 'query-value-key-by-quarter';

/** What is applied to the gate of what heads give. */
export type GateActivation = 'sigmoid' | 'softplus';

/** Names of linear layers, or of one matrix that holds several. */
export type Projection =
  | readonly string[]
  | { readonly fused: string; readonly order?: FusedOrder };

/** Names of the matrices of a projection. */
export const projectionNames = (projection: Projection): readonly string[] =>
  'fused' in projection ? [projection.fused] : projection;

/** Which linear layers have a bias. */
export interface Biases {
  readonly queryKeyValue: boolean;
  /** Of keys, where that differs. */
  readonly key?: boolean;
  readonly attentionOutput: boolean;
  readonly feedforward: boolean;
  /** Of its last layer, where that differs. */
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
export interface OuterNames {
  /** What stands before every name but the head's; the first under which the embedding is found. */
  readonly prefixes: readonly string[];
  readonly embedding: string;
  /** What is added to the embedding: row position + offset of a table, or sines of the same number. */
  readonly positions?: LearnedPositions | SinePositions;
  /** Table of segments, in encoders. */
  readonly types?: string;
  /** Norm of the embedding. */
  readonly embeddingNorm?: string;
  /** Whether that is of the words alone, and positions are added to what it gives. */
  readonly normsWordsAlone?: boolean;
  /** Linear layers, without biases, between the widths of the embedding and of the stream where these differ. */
  readonly projections?: { readonly in: string; readonly out: string };
  readonly finalNorm?: string;
  readonly perLayer?: PerLayerNames;
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
  /** The same, on attention or feed-forward alone. */
  readonly attentionBranch: number;
  readonly feedforwardBranch: number;
  /** On what the activation of a feed-forward is applied to. */
  readonly gate: number;
  /** On the products of queries and keys; the usual one is headDim^−½. */
  readonly attention: number | undefined;
  readonly attentionSoftCap: number | undefined;
  readonly logits: number;
  readonly logitSoftCap: number | undefined;
  /** Bound on the absolute values of queries, keys and values. */
  readonly clip: number | undefined;
}

/**
 * What a norm of queries or keys goes over: each head, with weights for all or (`each-head`) of its
 * own; or all heads at once.
 */
export type QueryKeyNormExtent = 'head' | 'each-head' | 'projection';

/**
 * Bounds gate ≤ limit and |up| ≤ limit; with an alpha, (up + 1) · gate · σ(alpha · gate) instead of
 * activation(gate) · up (gpt-oss, arXiv 2508.10925).
 */
export interface ClampedGate {
  readonly alpha?: number;
  readonly limit: number;
}

/**
 * Mixtures of experts. Each expert has tensors of its own, `<module>.experts.<number>.<name>.weight`,
 * or all share two, whose names are `joined`.
 */
export interface ExpertNames {
  /** Modules that hold router and experts; a checkpoint has one of them. Empty: the block itself. */
  readonly modules: readonly string[];
  readonly router: string;
  readonly routerBias?: boolean;
  /** Tensor of the module that is added to what experts are chosen by. */
  readonly choiceBias?: string | undefined;
  /** Whether that is a name below the block, and not the module. */
  readonly choiceBiasIsOfBlock?: boolean;
  /** Gate and up; up alone where nothing gates it. */
  readonly gateUp: readonly string[];
  readonly down: string;
  readonly joined?: JoinedExperts;
  readonly count?: (config: ModelConfig) => number;
  readonly inner: (config: ModelConfig) => number;
  /** How tokens are sent to experts; as in Mixtral when absent. */
  readonly routing?: (config: ModelConfig) => Partial<Routing>;
  /** Wiring, if it differs from that of the MLPs of other blocks. */
  readonly wiring?: WiringNames;
  /** Tensor of the module with the experts of each token, in blocks where scores don't choose them. */
  readonly byToken?: {
    readonly name: string;
    readonly isOf: (config: ConfigFields, block: number) => boolean;
  };
  /** Whether a mixture's module in transformers is made with the number of its block. */
  readonly isMadeByNumber?: boolean;
  /** Tensor of the module with a factor on the weight of each expert. */
  readonly shareFactors?: string;
  /** Tensor of the module that is added once to what the experts give. */
  readonly sumBias?: string | undefined;
  /** Whether experts are removed all together or not at all. */
  readonly staysWhole?: boolean;
  /** What experts and router have by themselves, below the block; the norms of the feed-forward are then the shared one's. */
  readonly apart?: {
    readonly norm: string;
    readonly routerScale: string;
    readonly postNorm: string;
    readonly sharedPostNorm: string;
    /** In transformers, which modules are made anew for fewer experts, and what says whether a block has them. */
    readonly modules: readonly string[];
    readonly flag: string;
  };
  /** A feed-forward that every token is sent to, beside the experts; its names are below the block's. */
  readonly shared?: (config: ModelConfig) => SharedExpertNames | undefined;
  /** Whether a block has experts, and not a feed-forward. */
  readonly isSparse: (config: ConfigFields, block: number) => boolean;
  /** The fields of config.json that say which blocks have experts, where it has no list of all. */
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
  /** Names of gate and up in files that have them by themselves, though others don't. */
  readonly apart?: readonly [gate: string, up: string];
  readonly down: string;
  /** [experts, hidden, 2 · inner] and [experts, inner, hidden]; `down`: the latter alone. */
  readonly transposed?: boolean | 'down';
  /** Whether the first two axes are one. */
  readonly flat?: boolean;
  /** Each has a bias: `<name>_bias`, or `.bias` where the name ends in `.weight`. */
  readonly biases?: boolean;
}

/** What a removable part of a block is; it has at most one of each kind. */
export type PartKind = 'attention' | 'mixer' | 'feedforward' | 'expert';

/** Sublayers that carry a state along the sequence, where attention looks back. */
export interface MixerNames {
  readonly wiring: WiringNames;
  /** What stands in front of the names of its tensors. */
  readonly module: string;
  readonly form: (config: ModelConfig) => MixerForm;
  /** Whether its module in transformers gives a pair, as attention does. */
  readonly givesPair?: boolean;
  /** Factor on what it adds. */
  readonly branchScale?: (config: ModelConfig) => number;
}

/** Number and width of an attention's heads, and how they weigh what they look at. */
export interface OwnHeads {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Size of a head's value. */
  readonly valueDim: number;
  /** Factor on the products of queries and keys. */
  readonly scale: number;
}

/** Temperature tuning of Llama 4: scales, positions. */
export interface QueryGrowth {
  readonly scale: number;
  readonly period: number;
  readonly offset: number;
  /** Whether that is of blocks whose queries are not turned. */
  readonly isOfUnturned?: boolean;
}

/** How the blocks of a family of models differ from those of others. Names are below the block's prefix. */
export interface BlockArchitecture {
  /** Norm of the stream in front of each block, which stays when its sublayers go. */
  readonly startNorm?: string;
  /** What the stream is multiplied by where a part is added to it; 1 when absent. */
  readonly streamFactor?: (config: ModelConfig, part: PartKind) => number;
  readonly attention: {
    readonly wiring: WiringNames;
    /** Query, key and value; query and key where keys are the values too. */
    readonly queryKeyValue: Projection;
    /** What they come from where they are expanded from latents. */
    readonly latent?: LatentNames;
    /** What such attention has instead that reads compressed runs of tokens. */
    readonly compressed?: CompressedNames;
    readonly output: string;
    /** Tensor added to what `output` gives, in blocks that have it. */
    readonly outputBias?: string;
    /** Tensors added to queries and values, where one matrix without a bias holds all. */
    readonly addedBiases?: { readonly query: string; readonly value: string };
    /** Norms of queries and keys before the rotary embedding. */
    readonly queryKeyNorms?: {
      readonly query: string;
      readonly key: string;
      readonly over: QueryKeyNormExtent;
      /** Whether they come behind the rotary embedding. */
      readonly afterRotary?: boolean;
      /** Whether they have no weights. */
      readonly plain?: boolean;
      /** Whether they are of blocks alone whose queries are turned. */
      readonly ofTurned?: boolean;
    };
    /** Whether each head's values are normed, without weights. */
    readonly normsValues?: boolean;
    /** Norm of what all heads give. */
    readonly innerNorm?: string;
    /** Tensor of a score for each head, to which it may attend instead of a token. */
    readonly sinks?: string;
    /** Linear layer whose sigmoid, or another activation, is a factor on what the heads give. */
    readonly gate?: string;
    /** Whether such gates stand behind the queries, head by head. */
    readonly gatesInQuery?: boolean;
    readonly gateActivation?: GateActivation;
    /** Whether that is one factor for each head. */
    readonly gateIsByHead?: boolean;
    /** Tensors of the factors of differential attention: query and key of the first, and of the second. */
    readonly difference?: {
      readonly factors: readonly string[];
      readonly start: (block: number) => number;
    };
  };
  /** Attention to the output of an encoder, after the attention of each block. */
  readonly crossAttention?: BlockArchitecture['attention'];
  readonly feedforward: {
    readonly wiring: WiringNames;
    /** Gate and up, or up alone where nothing gates it. */
    readonly gateUp: Projection;
    readonly down: string;
    /** Norm of what `down` reads. */
    readonly innerNorm?: string;
    /** Module of the weights of xIELU. */
    readonly curve?: string;
    /** Gate and up of gpt-oss. */
    readonly clamped?: (config: ModelConfig) => ClampedGate | undefined;
    /** Whether rows of gate and up take turns where one matrix holds both. */
    readonly takesTurns?: boolean;
    /** Whether up stands before gate there. */
    readonly upFirst?: boolean;
  };
  /** Mixtures of experts in place of feed-forwards, with the same norms. */
  readonly experts?: ExpertNames;
  readonly mixer?: MixerNames;
  /** Names of what stands for attention where blocks share a transformer. */
  readonly shared?: SharedNames;
  /** Sizes of a block's attention where it reads compressed runs of tokens. */
  readonly compressed?: (config: ModelConfig, block: number) => CompressedShape;
  /** Names of what connects sublayers with several streams. */
  readonly connections?: ConnectionNames;
  /** What a block consists of, in order; attention, then a feed-forward or experts, when absent. */
  readonly parts?: (config: ModelConfig, block: number) => readonly PartKind[];
  readonly biases: (config: ModelConfig) => Biases;
  /** One rotary embedding, one for each type of layer, or none. */
  readonly rotary: 'shared' | 'by-layer-type' | 'none';
  /** Dimension 2i is turned with 2i + 1, instead of i with i + half of them. */
  readonly interleavedRotary?: boolean;
  /** Whether queries and keys are turned the other way round. */
  readonly reversedRotary?: boolean;
  /** Heads of a block where they are others than the model's. */
  readonly heads?: (config: ModelConfig, block: number) => Partial<OwnHeads>;
  /** Width of a block's feed-forward where it is another than the model's. */
  readonly innerSize?: (config: ModelConfig, block: number) => number;
  /** Share of a feed-forward's gates that a normal distribution would close; none when absent. */
  readonly sparsity?: (config: ModelConfig, block: number) => number;
  /** The earlier block whose keys and values a block's attention reads; its own when undefined. */
  readonly keysOf?: (config: ModelConfig, block: number) => number | undefined;
  /** Whether a block's queries and keys are turned; yes when absent. */
  readonly turns?: (config: ModelConfig, block: number) => boolean;
  /** Number of past positions that a block's attention sees (itself included), or all. */
  readonly slidingWindow: (config: ModelConfig, block: number) => number | undefined;
  /** What depends on the kind of a block besides. */
  readonly blockForm?: (
    config: ModelConfig,
    block: number,
  ) => Partial<Pick<Architecture, 'attention' | 'mixer' | 'feedforward'>>;
}

/**
 * How a family of models differs from the others. All are decoder-only: token embedding, blocks, final norm, head.
 */
export interface Architecture extends BlockArchitecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** `model_type` of the text tower, where that alone of a model of several parts is run. */
  readonly textType?: string;
  /** `model_type` of a model of several parts whose config.json may have the fields of this text tower among its own. */
  readonly flatType?: string;
  /** Whether transformers reads rows of the embedding's matrix where it puts images among the words. */
  readonly readsEmbedding?: boolean;
  /** Classes in transformers, of the text tower where it is one, where they are not named after its type. */
  readonly classes?: {
    readonly config: string;
    readonly model: string;
    /** What finds the model, where AutoModelForCausalLM does not. */
    readonly auto?: string;
  };
  /** Names of a block's modules in transformers, by those that its tensors have, where these differ. */
  readonly moduleNames?: Readonly<Record<string, string>>;
  /** Why its modules in transformers are not as its tensors are named, as a sentence; they are when absent. */
  readonly otherModules?: Message;
  /** Whether its class in transformers refuses a `layer_types` that lacks one of the types. */
  readonly needsEachLayerType?: true;
  /** Whether transformers adds the stream, as a second argument, inside the modules of these branches. */
  readonly addsStreamInside?: readonly ('attention' | 'feedforward')[];
  /** What attention gives in transformers, where others give a pair. */
  readonly attentionGives?: 'list' | 'triple';
  /** For docs, as sentences: how far its models are run, or why some of them aren't. */
  readonly limits?: string;
  readonly config?: ConfigLayout;
  readonly outer: OuterNames;
  readonly norm: NormKind;
  /** Whether norms have no weights. */
  readonly plainNorms?: boolean;
  /** Whether what a block computes depends on its number, which it then keeps. */
  readonly dependsOnNumber?: boolean;
  /** Weights are stored as [in, out]. */
  readonly transposed?: boolean;
  readonly altUp?: AltUpNames;
  readonly laurel?: LaurelNames;
  readonly end?: BlockEndNames;
  /** What a score loses per position of distance, for each head (ALiBi, arXiv 2108.12409). */
  readonly slopes?: (config: ModelConfig) => readonly number[] | undefined;
  /** Longest text, where it is not that of the positions. */
  readonly maxPositions?: (config: ModelConfig) => number;
  readonly scales?: (config: ModelConfig) => Partial<Scales>;
  /** Sizes of latents, where queries, keys and values come from them. */
  readonly latent?: (config: ModelConfig) => LatentShape;
  /** Queries grow with their position p: × (1 + scale · ln(1 + ⌊(p + offset) / period⌋)). */
  readonly queryGrowth?: (config: ModelConfig) => QueryGrowth | undefined;
  /** Parts of tensors' names that checkpoints may spell otherwise, and how. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What depends on the config besides. */
  readonly form?: (config: ModelConfig) => Partial<Architecture>;
}
