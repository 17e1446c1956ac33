import type { MixerForm } from '../parts/mixers/mixer-form';
import type { Architecture, QueryGrowth } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/config-layout';
import type { ModelConfig } from '../transformer/model-config';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GgufBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import type { RoleNames } from './gguf-roles';

/** What a file says of its blocks. */
export interface GgufSource {
  readonly keys: GgufKeys;
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  readonly sizes: GgufBlocks;
  /** `layer_types` of config.json, where the file tells. */
  readonly types: readonly string[];
}

/** What llama.cpp takes for granted of a family whose blocks take turns. */
export interface GgufWindows {
  /** Of so many blocks the last is not windowed, unless the file says otherwise. */
  readonly period: number;
  /** Whether the file counts positions on both sides, and config.json those on one. */
  readonly bothSides?: boolean;
  /** Whether the first of so many is not windowed instead. */
  readonly fullFirst?: boolean;
  /** Number of positions, unless the file says otherwise. */
  readonly size?: number;
  /** Windowed blocks have a rotary base of their own: 10 000, unless the file says otherwise; or that of others, never scaled. */
  readonly ownRotary: boolean | 'unscaled';
  /** Whether windowed blocks may turn another share of their heads. */
  readonly ownShare?: boolean;
  /** Whether a model may have none. */
  readonly mayLack?: boolean;
  /** Number of blocks of the one size whose attention is scaled by hidden size and heads, not by the size of a head. */
  readonly scaledByWidthAt?: number;
  /** Whether llama.cpp ends where all blocks have a window. */
  readonly needsFull?: boolean;
  /** Number of blocks of the one size that has windows at all. */
  readonly onlyAt?: number;
}

/** How a family differs in what its header says. */
export interface GgufTraits {
  /** What `layer_types` calls blocks with a mixer instead of attention. */
  readonly mixed?: string;
  /** Whether keys and values come from a latent, so that heads are told by other keys. */
  readonly isLatent?: boolean;
  /** Whether such keys and values stay in one matrix, as if each head had its own. */
  readonly joinsLatent?: boolean;
  /** Whether the values of heads are of a size of their own. */
  readonly ownValueSize?: boolean;
  /** Numbers of blocks by which llama.cpp tells that queries have no latent. */
  readonly plainQueriesAt?: readonly number[];
  /** Fields of config.json that the conversion has settled. */
  readonly settled?: Readonly<Record<string, unknown>>;
  /** Fields of config.json that follow from several keys, or from which tensors there are. */
  readonly describe?: (
    source: GgufSource,
  ) => Readonly<Record<string, unknown>> | Promise<Readonly<Record<string, unknown>>>;
  /** Lists with a flag for each block, by key. */
  readonly blockFlags?: Readonly<Record<string, (config: ModelConfig, block: number) => boolean>>;
  readonly windows?: GgufWindows;
  /** Whether llama.cpp takes the embedding as the head, and reads no other. */
  readonly tiesHead?: boolean;
  /** Whether llama.cpp takes fewer heads than fill the stream; it loads no other families so. */
  readonly takesFewerHeads?: boolean;
  /** Whether key/value heads and channels differ from block to block. */
  readonly sizesDiffer?: boolean;
  /** Whether llama.cpp loads blocks of one size alone, though files list their sizes. */
  readonly needsOneSize?: boolean;
  /** Whether the file says which blocks attend as every n-th, or by flags, and not by their key/value heads. */
  readonly byInterval?: boolean;
  /** Whether any blocks may have experts, which their tensors tell. */
  readonly sparseByTensors?: boolean;
  /** Whether the file has shares of the rotary dimensions for places in images, which texts don't need. */
  readonly hasSections?: boolean;
  /** Whether a block has one sublayer: a mixer, attention or a feed-forward. */
  readonly hasSingles?: boolean;
  /** Sizes are lists with 0 for what a block lacks. */
  readonly mayLackSublayers?: boolean;
  /** Further fields of config.json that are keys of the header. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Number n: every n-th block has no rotary embedding. */
  readonly unrotatedEvery?: number;
  /** Key of a number n: every n-th block has experts. */
  readonly sparseEvery?: string;
  /** Whether the weights of chosen experts are divided by their sum, where the file is silent. */
  readonly normsExpertWeights?: boolean;
  /** Whether the file says what turns scores of experts into weights, and whether these are divided by their sum. */
  readonly saysGating?: boolean;
  /** Whether llama.cpp reads rotary tables for short texts and for long ones. */
  readonly readsLengthFactors?: boolean;
  /** Whether what stands around sublayers can be written. */
  readonly writesEnds?: boolean;
  /** Whether llama.cpp wants keys and values also of blocks that read others'. */
  readonly wantsAllKeys?: boolean;
  /** Whether blocks with windows have heads of a size of their own, and others turn a share of theirs. */
  readonly hasOwnWindowHeads?: boolean;
  /** Whether llama.cpp reads two linear layers behind the pooling. */
  readonly hasDense?: boolean;
  /** Kind of tokenizer, where that is not told by the folder's. */
  readonly tokenizer?: 'gemma4';
  /** Activations that llama.cpp computes alike; that of the family's configuration class alone when absent. */
  readonly activations?: readonly string[];
  /** Parts of the architecture that the keys of a file decide. */
  readonly adapt?: (keys: GgufKeys) => Partial<Architecture>;
  /** Further floats and flags of the header, by key. */
  readonly header?: (
    config: ModelConfig,
    architecture: Architecture,
  ) => Readonly<Record<string, number | boolean>>;
  /** Whether llama.cpp takes a table of divisors of the rotary frequencies; yes when absent. */
  readonly readsFactors?: boolean;
  /** Whether the bounds of yarn's ramp are integers; yes when absent. */
  readonly roundsYarn?: boolean;
}

/** Experts chosen by σ(scores) and a bias, beside shared ones. */
export const sharedExpertFields = {
  n_shared_experts: 'expert_shared_count',
  routed_scaling_factor: 'expert_weights_scale',
  norm_topk_prob: 'expert_weights_norm',
} as const;

/** The same behind dense blocks. */
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

/** Of DeepSeek's latent attention (src/models/deepseek2.cpp). */
export const latentOfDeepseek = {
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

/** How the conversion to GGUF treats a family. */
export interface GgufFamily extends GgufTraits {
  readonly modelType: string;
  /** Fields of config.json that tell such folders from others of that type. */
  readonly told?: ConfigFields;
  /** Families that files of the same architecture may be of, which their headers tell. */
  readonly others?: readonly (GgufFamily & { readonly isOf: (keys: GgufKeys) => boolean })[];
  /** Other families of folders that become this one. */
  readonly alsoFrom?: readonly string[];
  /** The family where the file has experts. */
  readonly withExperts?: string;
  /** Whether folders with experts become this one, of two that are alike. */
  readonly ofExperts?: boolean;
  /** Fields of config.json, each with the one value that llama.cpp computes. */
  readonly demands?: (config: ModelConfig) => Readonly<Record<string, unknown>>;
  /** What the conversion multiplies weights with, by part, where so many blocks are left. */
  readonly factors?: (config: ModelConfig, blocks: number) => Readonly<Record<string, number>>;
  /** The family where experts are chosen by σ(scores). */
  readonly withSigmoid?: string;
  /** Query and key rows are interleaved for llama.cpp's form of the rotary embedding. */
  readonly interleaved?: boolean;
  /** Query and key rows that turn together are put into halves. */
  readonly halved?: boolean;
  /** Names of roles that differ from those of other families. */
  readonly names?: RoleNames;
  /** Whether gate and up are apart, where folders have them in one matrix. */
  readonly splitsGateUp?: boolean;
  /** Parts of names that are spelled otherwise than their kind tells. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What stands in front of the names of a mixer's tensors, and how the conversion changes its form. */
  readonly mixer?: {
    readonly module?: string;
    readonly form?: (known: MixerForm, config: ModelConfig) => MixerForm;
  };
}
