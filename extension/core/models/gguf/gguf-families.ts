import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import { encoderFamilies } from './encoders/encoder-families';
import { gemma4Demands, describeGemma4, newerGgufFamilies } from './gguf-newer-families';
import { layerNormFamilies } from './gguf-layer-norm-families';
import { t5GgufFamilies } from './t5-families';
import {
  asGatedDelta,
  asGroupedDelta,
  asKimiDelta,
  asSelectiveScan,
  asStateSpace,
  describeGroupedDelta,
  describePeriods,
  falconFactors,
  scanFields,
} from './gguf-mixer-forms';
import type { GgufBlocks } from './gguf-blocks';
import { ggufFields, layerNormEpsilon } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { deepseekExperts, granite, deepseekLatent } from './gguf-traits';
import type { GgufFamily, GgufSource } from './gguf-traits';
import { everyNthFull } from '../families/shared-parts';

/** llama.cpp takes the keys of these to be as wide as the queries. */
const asManyKeys = ({ num_attention_heads: heads }: Pick<ModelConfig, 'num_attention_heads'>) => ({
  num_key_value_heads: heads,
});

const lfm2 = {
  mixed: 'conv',
  fields: { conv_L_cache: 'shortconv.l_cache' },
  names: { 'embeddingAndHead.finalNorm': 'token_embd_norm' },
  mixer: { module: 'shortconv' },
  demands: () => ({ conv_bias: false, routed_scaling_factor: 1 }),
} as const;

/** Of Qwen 3.5, with the gated delta rule in most blocks. */
const qwen35 = {
  mixed: 'linear_attention',
  fields: {
    linear_num_key_heads: 'ssm.group_count',
    linear_num_value_heads: 'ssm.time_step_rank',
    linear_key_head_dim: 'ssm.state_size',
    linear_value_head_dim: 'ssm.state_size',
    linear_conv_kernel_dim: 'ssm.conv_kernel',
  },
  names: { 'feedforward.wiring.norm': 'post_attention_norm' },
  mixer: { form: asGatedDelta },
  byInterval: true,
  hasSections: true,
  demands: ({ linear_key_head_dim: size = 128 }: ConfigFields) => ({ linear_value_head_dim: size }),
} as const;

/** Key that llama.cpp reads as the switch for Granite 4's rotary embedding. */
const rotaryFlag = 'rope.scaling.finetuned';

/** Factor on products of queries and keys where a file of Granite is silent. */
const defaultScale = (keys: GgufKeys, { heads }: GgufBlocks): number =>
  (keys.numberIfPresent(ggufFields.head_dim) ?? keys.number(ggufFields.hidden_size) / heads) **
  -0.5;

const stateSpace = {
  fields: scanFields,
  mixer: { form: asStateSpace },
} as const;

/** One sublayer a block, of the kind that the lists of sizes tell. */
const nemotron = {
  modelType: 'nemotron_h',
  header: ({ rms_norm_eps: epsilon }: ModelConfig) => ({ [layerNormEpsilon]: epsilon }),
  demands: () => ({ use_bias: false }),
  mixed: 'linear_attention',
  hasSingles: true,
  ...stateSpace,
  fields: {
    ...scanFields,
    moe_shared_expert_intermediate_size: 'expert_shared_feed_forward_length',
    routed_scaling_factor: 'expert_weights_scale',
    norm_topk_prob: 'expert_weights_norm',
    moe_latent_size: 'moe_latent_size',
  },
} as const;

/** Fields for per-layer embeddings of Gemma 3n and 4. */
const perLayerFields = {
  num_kv_shared_layers: 'attention.shared_kv_layers',
  hidden_size_per_layer_input: 'embedding_length_per_layer_input',
} as const;

/** Families by `general.architecture`. */
export const ggufFamilies: Readonly<Record<string, GgufFamily>> = {
  ...encoderFamilies,
  llama: {
    modelType: 'llama',
    alsoFrom: ['mistral', 'internlm3', 'iquestcoder', 'helium', 'nemotron-nas'],
    withExperts: 'mixtral',
    interleaved: true,
    takesFewerHeads: true,
  },
  deci: { modelType: 'llama', interleaved: true, mayLackSublayers: true },
  qwen2: { modelType: 'qwen2' },
  qwen3: { modelType: 'qwen3', takesFewerHeads: true },
  qwen2vl: { modelType: 'qwen2_vl_text', alsoFrom: ['qwen2_5_vl_text'], hasSections: true },
  qwen3vl: { modelType: 'qwen3', alsoFrom: ['qwen3_vl_text'], hasSections: true },
  qwen35: { modelType: 'qwen3_5_text', ...qwen35 },
  qwen35moe: { modelType: 'qwen3_5_moe_text', normsExpertWeights: true, ...qwen35 },
  qwen3next: {
    modelType: 'qwen3_next',
    normsExpertWeights: true,
    ...qwen35,
    describe: describeGroupedDelta,
    mixer: { form: asGroupedDelta },
  },
  granitehybrid: {
    modelType: 'granitemoehybrid',
    alsoFrom: ['bamba'],
    mixed: 'linear_attention',
    ...granite,
    ...stateSpace,
    fields: { ...granite.fields, ...scanFields },
    splitsGateUp: true,
    demands: () => ({ mamba_proj_bias: false, mlp_bias: false }),
    header: (_, { rotary }) => ({ [rotaryFlag]: rotary !== 'none' }),
    describe: ({ keys, sizes }) => ({
      attention_multiplier: keys.numberIfPresent('attention.scale') ?? defaultScale(keys, sizes),
      position_embedding_type: keys.flagIfPresent(rotaryFlag) === false ? 'nope' : 'rope',
      shared_intermediate_size:
        keys.numberIfPresent('expert_shared_feed_forward_length') ?? sizes.innerSize,
    }),
  },
  nemotron_h: nemotron,
  nemotron_h_moe: { ...nemotron, prefersExperts: true },
  'falcon-h1': {
    modelType: 'falcon_h1',
    aliases: { 'ffn_norm.weight': 'ffn_norm' },
    demands: () => ({
      // The factor of the embedding is another than the head's.
      tie_word_embeddings: false,
      mamba_proj_bias: false,
      projectors_bias: false,
      mamba_norm_before_gate: false,
    }),
    factors: falconFactors,
    ...stateSpace,
    describe: ({ tensors }) => ({ mamba_rms_norm: tensors.has('blk.0.ssm_norm.weight') }),
  },
  mamba: {
    modelType: 'mamba',
    alsoFrom: ['falcon_mamba'],
    fields: scanFields,
    mixer: { form: asSelectiveScan },
    demands: ({ rms_norm_eps: epsilon }) => ({ use_bias: false, mixer_rms_eps: epsilon }),
  },
  jamba: {
    modelType: 'jamba',
    mixed: 'linear_attention',
    fields: scanFields,
    mixer: { form: asSelectiveScan },
    sparseByTensors: true,
    demands: () => ({ mamba_proj_bias: false }),
    describe: describePeriods,
  },
  mamba2: { modelType: 'mamba2', ...stateSpace, demands: () => ({ use_bias: false }) },
  exaone4: {
    modelType: 'exaone4',
    windows: { period: 4, size: 4096, ownRotary: false, onlyAt: 64 },
  },
  llama4: {
    modelType: 'llama4_text',
    unrotatedEvery: 4,
    sparseEvery: 'interleave_moe_layer_step',
    fields: { interleave_moe_layer_step: 'interleave_moe_layer_step' },
    demands: ({ num_experts: count }) => ({
      attn_temperature_tuning: true,
      attn_scale: 0.1,
      floor_scale: 8192,
      attention_chunk_size: 8192,
      use_qk_norm: count !== 128,
    }),
    describe: ({ keys, sizes }) => ({
      intermediate_size: sizes.innerSize,
      // llama.cpp tells Maverick by its experts.
      use_qk_norm: keys.numberIfPresent('expert_count') !== 128,
    }),
  },
  mistral3: { modelType: 'ministral3', interleaved: true },
  'ernie4_5-moe': {
    modelType: 'ernie4_5_moe',
    fields: {
      moe_layer_start_index: 'leading_dense_block_count',
      moe_layer_interval: 'interleave_moe_layer_step',
      n_shared_experts: 'expert_shared_count',
    },
  },
  'hunyuan-moe': { modelType: 'hunyuan_v1_moe' },
  gemma: { modelType: 'gemma', takesFewerHeads: true, tiesHead: true },
  gemma2: {
    modelType: 'gemma2',
    takesFewerHeads: true,
    tiesHead: true,
    windows: { period: 2, size: 4096, ownRotary: false, scaledByWidthAt: 46 },
  },
  gemma3: {
    modelType: 'gemma3_text',
    takesFewerHeads: true,
    windows: { period: 6, ownRotary: true, scaledByWidthAt: 62 },
  },
  gemma3n: {
    modelType: 'gemma3n_text',
    windows: { period: 5, ownRotary: true },
    sizesDiffer: true,
    needsOneSize: true,
    fields: {
      ...perLayerFields,
      altup_num_inputs: 'altup.num_inputs',
      altup_active_idx: 'altup.active_idx',
    },
    describe: describeGemma3n,
    demands: gemma3nDemands,
    writesEnds: true,
    wantsAllKeys: true,
  },
  gemma4: {
    modelType: 'gemma4_text',
    alsoFrom: ['gemma4_unified_text'],
    windows: { period: 6, ownRotary: true, ownShare: true, needsFull: true },
    sizesDiffer: true,
    fields: perLayerFields,
    describe: describeGemma4,
    demands: gemma4Demands,
    writesEnds: true,
    hasOwnWindowHeads: true,
    tokenizer: 'gemma4',
    // 0 means no cap.
    header: ({ final_logit_softcapping: cap }) => ({ final_logit_softcapping: cap ?? 0 }),
  },
  smollm3: { modelType: 'smollm3', interleaved: true, unrotatedEvery: 4 },
  phi3: {
    modelType: 'phi3',
    fields: { sliding_window: 'attention.sliding_window' },
    readsLengthFactors: true,
  },
  granite: { modelType: 'granite', takesFewerHeads: true, ...granite },
  arcee: { modelType: 'arcee', interleaved: true },
  starcoder2: { modelType: 'starcoder2' },
  stablelm: {
    modelType: 'stablelm',
    fields: { use_parallel_residual: 'use_parallel_residual' },
    describe: ({ tensors }) => ({
      use_parallel_residual: !tensors.has('blk.0.ffn_norm.weight'),
    }),
  },
  'command-r': {
    modelType: 'cohere',
    tiesHead: true,
    fields: { logit_scale: 'logit_scale' },
  },
  cohere2: {
    modelType: 'cohere2',
    tiesHead: true,
    windows: { period: 4, ownRotary: false },
    fields: { logit_scale: 'logit_scale' },
  },
  seed_oss: { modelType: 'seed_oss', names: { 'feedforward.wiring.norm': 'post_attention_norm' } },
  'hunyuan-dense': { modelType: 'hunyuan_v1_dense' },
  ernie4_5: { modelType: 'ernie4_5' },
  qwen2moe: { modelType: 'qwen2_moe' },
  qwen3moe: { modelType: 'qwen3_moe', normsExpertWeights: true },
  qwen3vlmoe: { modelType: 'qwen3_moe', normsExpertWeights: true },
  olmoe: {
    modelType: 'olmoe',
    demands: ({ clip_qkv: clip, ...config }) => ({ ...asManyKeys(config), clip_qkv: clip && null }),
  },
  lfm2: { modelType: 'lfm2', settled: { block_auto_adjust_ff_dim: false }, ...lfm2 },
  lfm2moe: {
    modelType: 'lfm2_moe',
    ...lfm2,
    fields: { ...lfm2.fields, num_dense_layers: 'leading_dense_block_count' },
    normsExpertWeights: true,
    settled: { routed_scaling_factor: 1, use_expert_bias: true },
  },
  glm4moe: {
    modelType: 'glm4_moe',
    alsoFrom: ['solar_open'],
    takesFewerHeads: true,
    names: { 'feedforward.wiring.norm': 'post_attention_norm' },
    ...deepseekExperts,
  },
  'minimax-m2': { modelType: 'minimax_m2', normsExpertWeights: true },
  deepseek2: {
    modelType: 'deepseek_v2',
    withSigmoid: 'deepseek_v3',
    alsoFrom: ['glm4_moe_lite', 'youtu'],
    ...deepseekLatent,
    demands: ({ topk_method: method, n_group: groups }: ConfigFields) => ({
      rope_interleave: true,
      // llama.cpp judges a group by its two best experts, DeepSeek-V2 by one.
      ...(method === 'group_limited_greedy' && Number(groups ?? 1) > 1
        ? { topk_method: 'greedy' }
        : {}),
    }),
  },
  'kimi-linear': {
    modelType: 'kimi_linear',
    mixed: 'linear_attention',
    isLatent: true,
    normsExpertWeights: true,
    fields: {
      ...deepseekExperts.fields,
      linear_num_heads: 'attention.head_count',
      linear_head_dim: 'kda.head_dim',
      linear_conv_kernel_dim: 'ssm.conv_kernel',
    },
    mixer: { form: asKimiDelta },
    demands: ({ num_attention_heads: heads }) => ({ linear_num_heads: heads }),
  },
  dots1: { modelType: 'dots1', takesFewerHeads: true, ...deepseekExperts, demands: asManyKeys },
  'gpt-oss': {
    modelType: 'gpt_oss',
    windows: { period: 2, size: 128, ownRotary: false },
    names: { 'feedforward.wiring.norm': 'post_attention_norm' },
    roundsYarn: false,
    demands: () => ({ swiglu_alpha: 1.702, swiglu_limit: 7 }),
  },
  ...newerGgufFamilies,
  ...layerNormFamilies,
  ...t5GgufFamilies,
};

/** Every family with its architecture. */
export const allGgufFamilies: readonly (readonly [architecture: string, family: GgufFamily])[] =
  Object.entries(ggufFamilies).flatMap(([architecture, family]) =>
    [family, ...(family.others ?? [])].map((one) => [architecture, one] as const),
  );

/**
 * GGUF architectures that folders of a family may be written as.
 * @param towers 2 for a model with an encoder and a decoder
 */
export function namesInGguf(
  { modelType, matchingFields: asked = {} }: Pick<GgufFamily, 'modelType' | 'matchingFields'>,
  towers = 1,
): readonly string[] {
  const found = allGgufFamilies.filter(
    ([
      ,
      {
        modelType: plain,
        matchingFields = {},
        alsoFrom = [],
        withExperts,
        withSigmoid,
        towers: { length } = [''],
      },
    ]) =>
      length === towers &&
      Object.entries(matchingFields).every(([field, value]) => asked[field] === value) &&
      [plain, ...alsoFrom, withExperts, withSigmoid].includes(modelType),
  );
  const named = found.filter(([, { matchingFields }]) => matchingFields !== undefined);
  return (named.length > 0 ? named : found).map(([name]) => name);
}

/** The family of a file; undefined where it is not known. */
export function findGgufFamily(keys: GgufKeys): GgufFamily | undefined {
  const family = Object.hasOwn(ggufFamilies, keys.architecture)
    ? ggufFamilies[keys.architecture]
    : undefined;
  return family?.others?.find(({ matches }) => matches(keys)) ?? family;
}

/** Constants of llama.cpp (src/models/gemma3n.cpp): blocks with sparse gates, and blocks with their own keys. */
const [sparseBlocks, sparsity, ownKeys] = [10, 0.95, 20] as const;

const blockSparsity = (block: number): number => (block < sparseBlocks ? sparsity : 0);

/** Fields of Gemma 3n that follow from its tensors and from llama.cpp, regardless of the header. */
function describeGemma3n({ tensors, types }: GgufSource): Readonly<Record<string, unknown>> {
  return {
    activation_sparsity_pattern: types.map((_, block) => blockSparsity(block)),
    laurel_rank: tensors.get('blk.0.laurel_l.weight')?.shape[0],
  };
}

/**
 * Required config.json values, because llama.cpp has them hard-coded. Lists are those of the config if they are equal.
 */
function gemma3nDemands(config: ModelConfig): Readonly<Record<string, unknown>> {
  const { num_hidden_layers: blocks } = config;
  const same = (field: string, known: (block: number) => unknown): unknown => {
    const list: unknown = config[field];
    const all = Array.from({ length: blocks }, (_, block) => known(block));
    return !Array.isArray(list) || JSON.stringify(list) === JSON.stringify(all) ? list : all;
  };
  return {
    altup_num_inputs: 4,
    laurel_rank: 64,
    hidden_size_per_layer_input: 256,
    altup_correct_scale: true,
    num_kv_shared_layers: Math.max(0, blocks - ownKeys),
    layer_types: same('layer_types', (block) => everyNthFull(5, block)),
    activation_sparsity_pattern: same('activation_sparsity_pattern', blockSparsity),
    inner_sizes: same('inner_sizes', () => config.intermediate_size),
  };
}
