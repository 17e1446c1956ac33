import type { MixerForm } from '../parts/mixers/mixer-form';
import type { Architecture, QueryGrowth } from '../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GgufBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import type { RoleNames } from './gguf-roles';

/** Header, tensors and sizes of a GGUF file. */
export interface GgufSource {
  readonly keys: GgufKeys;
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  readonly sizes: GgufBlocks;
  /** `layer_types` of config.json, or empty if the file doesn't describe them. */
  readonly types: readonly string[];
}

/** Defaults of llama.cpp for a family that alternates sliding-window and full attention. */
export interface GgufWindows {
  /** Number of blocks per period, unless the file says otherwise. The last has full attention. */
  readonly period: number;
  /** True if the file stores the window on both sides, and config.json on one side. */
  readonly bothSides?: boolean;
  /** True if the first block of a period has full attention instead. */
  readonly fullFirst?: boolean;
  /** Default window size. */
  readonly size?: number;
  /**
   * True if sliding-window blocks have their own rotary base, by default 10,000; `unscaled` if they share the base but
   * are never scaled.
   */
  readonly ownRotary: boolean | 'unscaled';
  /** True if windowed blocks may rotate a different share of their heads. */
  readonly ownShare?: boolean;
  /** True if a model may have no windows. */
  readonly mayLack?: boolean;
  /**
   * Number of blocks in the one model size that scales attention by hidden size / heads instead of the head dimension.
   */
  readonly scaledByWidthAt?: number;
  /** True if llama.cpp aborts when all blocks have a window. */
  readonly needsFull?: boolean;
  /** Number of blocks of the one size that has windows at all. */
  readonly onlyAt?: number;
}

/** Properties of a GGUF architecture's header that differ between families. */
export interface GgufTraits {
  /**
   * Value of `layer_types` for blocks with an SSM or linear-attention layer instead of attention.
   */
  readonly mixed?: string;
  /** True for multi-head latent attention (MLA), whose head sizes have other keys. */
  readonly isLatent?: boolean;
  /**
   * True if the latent's expansion to keys and values stays in one tensor, stored as plain
   * multi-head attention.
   */
  readonly joinsLatent?: boolean;
  /** True if value heads have their own size. */
  readonly ownValueSize?: boolean;
  /** Numbers of blocks for which llama.cpp assumes that queries have no latent. */
  readonly plainQueriesAt?: readonly number[];
  /** Fields of config.json that are constant after the conversion. */
  readonly settled?: Readonly<Record<string, unknown>>;
  /** Fields of config.json that depend on several keys, or on which tensors exist. */
  readonly describe?: (
    source: GgufSource,
  ) => Readonly<Record<string, unknown>> | Promise<Readonly<Record<string, unknown>>>;
  /** Lists with a flag for each block, by key. */
  readonly blockFlags?: Readonly<Record<string, (config: ModelConfig, block: number) => boolean>>;
  readonly windows?: GgufWindows;
  /** True if llama.cpp always uses the token embedding as LM head. */
  readonly tiesHead?: boolean;
  /**
   * True if llama.cpp accepts heads whose total size is smaller than the hidden size. It rejects
   * other such families.
   */
  readonly takesFewerHeads?: boolean;
  /** True if key/value heads and channels differ between blocks. */
  readonly sizesDiffer?: boolean;
  /** True if llama.cpp only loads blocks of one size, although files list a size per block. */
  readonly needsOneSize?: boolean;
  /**
   * True if the file marks attention blocks by an interval or by flags, rather than by their
   * key/value heads.
   */
  readonly byInterval?: boolean;
  /** True if any block may have experts, recognized by its tensors. */
  readonly sparseByTensors?: boolean;
  /**
   * True if the file lists the shares of rotary dimensions for image positions, which text doesn't
   * need.
   */
  readonly hasSections?: boolean;
  /** True if a block has a single sublayer: an SSM layer, attention or an MLP. */
  readonly hasSingles?: boolean;
  /** True if sizes are lists with 0 for sublayers that a block lacks. */
  readonly mayLackSublayers?: boolean;
  /** Further fields of config.json that are keys of the header. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Number n: every n-th block has no rotary embedding. */
  readonly unrotatedEvery?: number;
  /** Key of a number n: every n-th block has experts. */
  readonly sparseEvery?: string;
  /** True if the weights of chosen experts are normalized when the file doesn't say. */
  readonly normsExpertWeights?: boolean;
  /**
   * True if the file stores the activation of router scores, and whether expert weights are
   * normalized.
   */
  readonly storesGating?: boolean;
  /** True if llama.cpp reads rotary factors for short and for long texts. */
  readonly readsLengthFactors?: boolean;
  /** True if block ends, such as Gemma 3n's AltUp, can be written. */
  readonly writesEnds?: boolean;
  /** True if llama.cpp requires keys and values in blocks that share those of others. */
  readonly wantsAllKeys?: boolean;
  /**
   * True if windowed blocks have their own head size, and other blocks rotate only a share of
   * theirs.
   */
  readonly hasOwnWindowHeads?: boolean;
  /** Prefixes of the tensor names of an encoder and, if the model has one, of a decoder after it. */
  readonly towers?: readonly string[];
  /** True if llama.cpp reads two linear layers after pooling. */
  readonly hasDense?: boolean;
  /** Kind of tokenizer, if the folder's tokenizer doesn't determine it. */
  readonly tokenizer?: 'gemma4';
  /**
   * Activations that llama.cpp computes identically. Defaults to the one of the family's
   * configuration class.
   */
  readonly activations?: readonly string[];
  /** Parts of the architecture that depend on the file's keys. */
  readonly adapt?: (keys: GgufKeys) => Partial<Architecture>;
  /** Further floats and flags of the header, by key. */
  readonly header?: (
    config: ModelConfig,
    architecture: Architecture,
  ) => Readonly<Record<string, number | boolean>>;
  /** True (default) if llama.cpp reads a table of divisors of the rotary frequencies. */
  readonly readsFactors?: boolean;
  /** True (default) if the bounds of YaRN's ramp are integers. */
  readonly roundsYarn?: boolean;
}

/** Fields of experts chosen by sigmoid scores plus a bias, with shared experts. */
export const sharedExpertFields = {
  n_shared_experts: 'expert_shared_count',
  routed_scaling_factor: 'expert_weights_scale',
  norm_topk_prob: 'expert_weights_norm',
} as const;

/** Fields of MoE layers after leading dense blocks. */
export const deepseekExperts = {
  fields: { first_k_dense_replace: 'leading_dense_block_count', ...sharedExpertFields },
} as const;

/** Growth of queries with their position (src/models/deepseek2.cpp). */
function readQueryGrowth(keys: GgufKeys): QueryGrowth | undefined {
  const scale = keys.numberIfPresent('attention.temperature_scale') ?? 0;
  return scale === 0
    ? undefined
    : { scale, period: keys.number('attention.temperature_length'), offset: 0 };
}

/** Traits of DeepSeek's latent attention (src/models/deepseek2.cpp). */
export const deepseekLatent = {
  isLatent: true,
  plainQueriesAt: [26, 27],
  adapt: (keys: GgufKeys) => ({ queryGrowth: () => readQueryGrowth(keys) }),
  readsFactors: false,
  ...deepseekExperts,
} as const;

/** Factors of Granite. */
export const granite = {
  fields: {
    embedding_multiplier: 'embedding_scale',
    residual_multiplier: 'residual_scale',
    attention_multiplier: 'attention.scale',
    logits_scaling: 'logit_scale',
  },
  interleaved: true,
} as const;

/** Conversion of a Hugging Face family to GGUF. */
export interface GgufFamily extends GgufTraits {
  readonly modelType: string;
  /** Values of config.json that distinguish these folders from others with the same type. */
  readonly matchingFields?: ConfigFields;
  /** Other families with the same GGUF architecture, distinguished by the header. */
  readonly others?: readonly (GgufFamily & { readonly matches: (keys: GgufKeys) => boolean })[];
  /** Other `model_type`s that convert to this architecture. */
  readonly alsoFrom?: readonly string[];
  /** `model_type` if the file has experts. */
  readonly withExperts?: string;
  /** True to prefer this architecture for folders with experts, if two architectures match. */
  readonly prefersExperts?: boolean;
  /** Fields of config.json, each with the one value that llama.cpp computes. */
  readonly demands?: (config: ModelConfig) => Readonly<Record<string, unknown>>;
  /**
   * Factors that the conversion multiplies weights with, by tensor, for the given number of
   * remaining blocks.
   */
  readonly factors?: (config: ModelConfig, blocks: number) => Readonly<Record<string, number>>;
  /** `model_type` if experts are chosen by sigmoid scores. */
  readonly withSigmoid?: string;
  /** Query and key rows are interleaved for llama.cpp's form of the rotary embedding. */
  readonly interleaved?: boolean;
  /** True if rotated query and key rows are reordered into halves. */
  readonly halved?: boolean;
  /** Names of roles that differ from those of other families. */
  readonly names?: RoleNames;
  /** True if the file stores gate and up separately, and folders in one tensor. */
  readonly splitsGateUp?: boolean;
  /** Tensor names that deviate from the pattern of their kind. */
  readonly aliases?: Readonly<Record<string, string>>;
  /**
   * Prefix of the names of SSM tensors, and the change that the conversion makes to their layout.
   */
  readonly mixer?: {
    readonly module?: string;
    readonly form?: (known: MixerForm, config: ModelConfig) => MixerForm;
  };
}
