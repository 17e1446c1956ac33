import type { GgufTraits } from './gguf-traits';

/** How the conversion to GGUF treats a family. */
export interface GgufFamily extends GgufTraits {
  readonly modelType: string;
  /** Other families of folders that become this one. */
  readonly alsoFrom?: readonly string[];
  /** The family where the file has experts. */
  readonly withExperts?: string;
  /** Query and key rows are interleaved for llama.cpp's form of the rotary embedding. */
  readonly interleaved?: boolean;
  /** Part that is the norm of the feed-forward, where it is not `ffn_norm`. */
  readonly feedforwardNorm?: string;
}

const granite = {
  fields: {
    embedding_multiplier: 'embedding_scale',
    residual_multiplier: 'residual_scale',
    attention_multiplier: 'attention.scale',
    logits_scaling: 'logit_scale',
  },
  interleaved: true,
} as const;

/** Families by `general.architecture`. */
export const ggufFamilies: Readonly<Record<string, GgufFamily>> = {
  llama: {
    modelType: 'llama',
    alsoFrom: ['mistral'],
    withExperts: 'mixtral',
    interleaved: true,
  },
  deci: { modelType: 'llama', interleaved: true, mayLackSublayers: true },
  qwen2: { modelType: 'qwen2' },
  qwen3: { modelType: 'qwen3' },
  gemma: { modelType: 'gemma' },
  gemma2: {
    modelType: 'gemma2',
    windows: { period: 2, size: 4096, ownRotary: false, scaledByWidthAt: 46 },
  },
  gemma3: {
    modelType: 'gemma3_text',
    windows: { period: 6, ownRotary: true, scaledByWidthAt: 62 },
  },
  smollm3: { modelType: 'smollm3', interleaved: true, unturned: 4 },
  phi3: { modelType: 'phi3', fields: { sliding_window: 'attention.sliding_window' } },
  granite: { modelType: 'granite', ...granite },
  arcee: { modelType: 'arcee', interleaved: true },
  olmo2: { modelType: 'olmo2' },
  glm4: { modelType: 'glm4' },
  starcoder2: { modelType: 'starcoder2' },
  stablelm: {
    modelType: 'stablelm',
    fields: { use_parallel_residual: 'use_parallel_residual' },
    parallelWithoutNorm: true,
  },
  'command-r': {
    modelType: 'cohere',
    fields: { logit_scale: 'logit_scale' },
    queryNormsFrom: 64,
  },
  cohere2: {
    modelType: 'cohere2',
    windows: { period: 4, ownRotary: false },
    fields: { logit_scale: 'logit_scale' },
  },
  seed_oss: { modelType: 'seed_oss', feedforwardNorm: 'post_attention_norm' },
  'hunyuan-dense': { modelType: 'hunyuan_v1_dense' },
  ernie4_5: { modelType: 'ernie4_5' },
  qwen2moe: { modelType: 'qwen2_moe' },
  qwen3moe: { modelType: 'qwen3_moe', normsExpertWeights: true },
  olmoe: { modelType: 'olmoe' },
  granitemoe: { modelType: 'granitemoe', ...granite },
  'gpt-oss': {
    modelType: 'gpt_oss',
    windows: { period: 2, size: 128, ownRotary: false },
    feedforwardNorm: 'post_attention_norm',
    roundsYarn: false,
  },
};
