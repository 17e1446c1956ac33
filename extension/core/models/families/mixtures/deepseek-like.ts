import type { Architecture, ExpertNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import type { LatentShape } from '../../parts/latent-heads';
import { yarnScale } from '../../parts/rotary';
import type { Routing } from '../../parts/routing';
import {
  attention,
  attentionBiases,
  base,
  denseFirst,
  feedforward,
  gatedSharedExpert,
  queryGrowthFromRope,
  queryKeyNorms,
  queryKeyValueBiases,
  windowedByType,
} from '../shared-parts';
import { isWindowedIfAny } from '../post-norm';
import { sandwich } from '../../modules/wiring-names';

/** Experts from the best groups, and shared ones (DeepSeek-V2, arXiv 2405.04434). */
const softmaxExperts: ExpertNames = {
  modules: ['mlp'],
  router: 'gate',
  gateUp: ['gate_proj', 'up_proj'],
  down: 'down_proj',
  inner: ({ moe_intermediate_size: inner }) => inner,
  routing: (config) => ({
    normalized: config.norm_topk_prob,
    shareScale: config.routed_scaling_factor,
    groups: config['topk_method'] === 'group_limited_greedy' ? expertGroups(config, 1) : undefined,
  }),
  shared: ({ moe_intermediate_size: inner, n_shared_experts: count }) =>
    typeof count === 'number' && count > 0
      ? gatedSharedExpert('mlp.shared_experts', inner * count)
      : undefined,
  isSparse: behindFirst,
  sparseFields: (sparse) => ({ first_k_dense_replace: sparse.filter((is) => !is).length }),
};

/** Experts chosen by σ(scores) and a bias (DeepSeek-V3, arXiv 2412.19437). */
export const experts: ExpertNames = {
  ...softmaxExperts,
  choiceBias: 'gate.e_score_correction_bias',
  routing: (config) => ({
    score: 'sigmoid',
    normalized: config.norm_topk_prob,
    shareScale: config.routed_scaling_factor,
    groups: expertGroups(config, 2),
  }),
};

/** `mlp_layer_types` if present; otherwise all blocks except the first `first_k_dense_replace` have experts. */
function behindFirst(
  { mlp_layer_types: types, first_k_dense_replace: first }: ConfigFields,
  block: number,
): boolean {
  return Array.isArray(types) ? types[block] === 'sparse' : block >= Number(first ?? 0);
}

function expertGroups(config: ModelConfig, best: number): Routing['groups'] {
  const { n_group: count, topk_group: chosen } = config;
  return count !== undefined && count !== null && count > 1
    ? { count, chosen: chosen ?? 1, best }
    : undefined;
}

export const expertDefaults = {
  num_experts: 256,
  num_experts_per_tok: 8,
  moe_intermediate_size: 2048,
  n_shared_experts: 1,
  norm_topk_prob: true,
};
/** config.json's name of the number of routed experts. */
export const routed = { num_experts: 'n_routed_experts' } as const;

/** Tensor names of multi-head latent attention (DeepSeek-V2). */
export const latentAttention = {
  attention: {
    ...attention,
    latent: {
      query: 'self_attn.q_proj',
      queryDown: 'self_attn.q_a_proj',
      queryNorm: 'self_attn.q_a_layernorm',
      queryUp: 'self_attn.q_b_proj',
      keyValueDown: 'self_attn.kv_a_proj_with_mqa',
      keyValueNorm: 'self_attn.kv_a_layernorm',
      keyValueUp: 'self_attn.kv_b_proj',
    },
  },
  latent: (config: ModelConfig): LatentShape => ({
    queryRank: config.q_lora_rank ?? undefined,
    keyValueRank: config.kv_lora_rank ?? 512,
    plainDim: config.qk_nope_head_dim ?? 128,
    rotaryDim: config.qk_rope_head_dim ?? 64,
    valueDim: config.v_head_dim ?? 128,
  }),
  biases: attentionBiases,
  scales: (config: ModelConfig) => ({ attention: latentScale(config) }),
} as const;

/** (unrotated + rotated dimensions)^−½, times the square of YaRN's scale if the config sets one. */
function latentScale(config: ModelConfig): number {
  const { qk_nope_head_dim: plain, qk_rope_head_dim: turned } = config;
  const rope = config.rope_parameters ?? config.rope_scaling ?? {};
  const { factor = 1, mscale_all_dim: mscale } = rope;
  const scale = mscale ? yarnScale(factor, mscale) : 1;
  return ((plain ?? 128) + (turned ?? 64)) ** -0.5 * scale * scale;
}

/** Every head has its own key and value, even if the file says otherwise. */
export const ownKeys = ({
  num_attention_heads: heads,
  qk_rope_head_dim: turned,
}: ConfigFields): ConfigFields => ({
  num_key_value_heads: heads,
  head_dim: turned ?? 64,
});

const interleaves = ({ rope_interleave: turns }: ModelConfig): Partial<Architecture> => ({
  interleavedRotary: turns !== false,
});

/** Default rotary parameters of Mistral 4. */
const mistralRope = {
  ...{ rope_type: 'yarn', rope_theta: 10_000, factor: 128, original_max_position_embeddings: 8192 },
  ...{ mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.1 },
};

/** Latents and experts as DeepSeek-V3 has them. */
export const deepseek = { ...base, ...latentAttention, experts, form: interleaves } as const;

/** Deviations of its config.json from the default layout. */
export const deepseekLayout = { names: routed, computed: ownKeys } as const;

/** Families in the manner of DeepSeek: latents, dense first blocks, experts chosen with a bias. */
export const deepseekFamilies: readonly Architecture[] = [
  derive(deepseek, named('deepseek_v3', 'DeepseekV3'), {
    ...deepseekLayout,
    defaults: {
      ...expertDefaults,
      q_lora_rank: 1536,
      routed_scaling_factor: 2.5,
      first_k_dense_replace: 3,
      n_group: 8,
      topk_group: 4,
      max_position_embeddings: 4096,
    },
  }),
  derive({ ...base, ...latentAttention }, named('deepseek_v2', 'DeepseekV2'), {
    names: routed,
    defaults: {
      ...expertDefaults,
      num_experts: 64,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1407,
      n_shared_experts: 2,
      norm_topk_prob: false,
    },
    computed: ownKeys,
    only: () => ({ scoring_func: 'softmax' }),
    interleavedRotary: true,
    experts: softmaxExperts,
  }),
  derive(deepseek, 'mistral4', {
    classes: {
      ...{ config: 'Mistral4Config', model: 'Mistral4ForCausalLM' },
      auto: 'AutoModelForImageTextToText',
    },
    names: routed,
    defaults: {
      ...expertDefaults,
      num_experts: 128,
      num_experts_per_tok: 4,
      q_lora_rank: 1024,
      kv_lora_rank: 256,
      qk_nope_head_dim: 64,
      max_position_embeddings: 1_048_576,
    },
    // The rotated share applies to the rotary dimensions of the latent.
    computed: (config) => ({
      ...ownKeys(config),
      rope_parameters: {
        ...(config['rope_parameters'] ?? mistralRope),
        partial_rotary_factor: 1,
      },
    }),
    experts: {
      ...softmaxExperts,
      routing: (config) => ({
        normalized: config.norm_topk_prob,
        shareScale: config.routed_scaling_factor,
        groups: expertGroups(config, 2),
      }),
    },
    queryGrowth: queryGrowthFromRope,
  }),
  derive(deepseek, named('glm4_moe_lite', 'Glm4MoeLite'), {
    ...deepseekLayout,
    defaults: { ...expertDefaults, q_lora_rank: 768, routed_scaling_factor: 1.8 },
    lists: { mlp_layer_types: denseFirst(1) },
  }),
  derive({ ...base, ...latentAttention }, 'youtu', {
    defaults: { q_lora_rank: 1536, max_position_embeddings: 131_072 },
    computed: ownKeys,
    form: interleaves,
  }),
  derive(base, named('glm4_moe', 'Glm4Moe'), {
    names: routed,
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 8,
      num_experts: 128,
      moe_intermediate_size: 1408,
      rms_norm_eps: 1e-5,
      first_k_dense_replace: 1,
      partial_rotary_factor: 0.5,
    },
    biases: queryKeyValueBiases,
    experts,
    form: ({ use_qk_norm: isNormed }) =>
      isNormed === true ? { attention: { ...attention, queryKeyNorms } } : {},
  }),
  derive(base, named('solar_open', 'SolarOpen'), {
    names: routed,
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 8,
      num_experts: 128,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      rope_theta: 1_000_000,
      // No block has a dense MLP.
      intermediate_size: 1,
    },
    biases: attentionBiases,
    experts: { ...experts, isSparse: () => true },
  }),
  derive(base, named('dots1', 'Dots1'), {
    names: routed,
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 32,
      num_experts: 128,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1408,
      n_shared_experts: 2,
      first_k_dense_replace: 1,
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    slidingWindow: windowedByType,
    experts,
  }),
  derive(base, named('exaone_moe', 'ExaoneMoe'), {
    names: { n_shared_experts: 'num_shared_experts' },
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 32,
      num_experts: 64,
      rms_norm_eps: 1e-5,
      moe_intermediate_size: 1024,
      routed_scaling_factor: 2.5,
      sliding_window: 4096,
    },
    lists: {
      mlp_layer_types: ({ first_k_dense_replace: first = 1 }, block) =>
        block < Number(first) ? 'dense' : 'sparse',
    },
    attention: { ...attention, queryKeyNorms },
    turns: isWindowedIfAny,
    slidingWindow: windowedByType,
    experts: { ...experts, choiceBias: 'e_score_correction_bias' },
  }),
  derive(base, 'afmoe', {
    names: { n_shared_experts: 'num_shared_experts', routed_scaling_factor: 'route_scale' },
    defaults: {
      ...expertDefaults,
      num_experts: 64,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1408,
      num_dense_layers: 1,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      sliding_window: 1024,
    },
    lists: {
      layer_types: ({ global_attn_every_n_layers: every = 4 }, block) =>
        (block + 1) % Number(every) === 0 ? 'full_attention' : 'sliding_attention',
    },
    attention: {
      ...attention,
      queryKeyNorms,
      parts: { gate: { name: 'self_attn.gate_proj' } },
      wiring: sandwich(attention.wiring.norm, 'post_attention_layernorm'),
    },
    feedforward: { ...feedforward, wiring: sandwich('pre_mlp_layernorm', 'post_mlp_layernorm') },
    biases: attentionBiases,
    turns: ({ layer_types: types }, block) => types?.[block] === 'sliding_attention',
    slidingWindow: windowedByType,
    scales: ({ hidden_size: hidden, ...config }) =>
      (config as ConfigFields)['mup_enabled'] === true ? { embedding: Math.sqrt(hidden) } : {},
    experts: {
      ...experts,
      router: 'router.gate',
      choiceBias: 'expert_bias',
      isSparse: ({ num_dense_layers: dense = 1 }, block) => block >= Number(dense),
      sparseFields: (sparse) => ({ num_dense_layers: sparse.filter((is) => !is).length }),
    },
  }),
  derive(base, named('ernie4_5_moe', 'Ernie4_5_Moe'), {
    names: {
      num_experts: 'moe_num_experts',
      num_experts_per_tok: 'moe_k',
      n_shared_experts: 'moe_num_shared_experts',
    },
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 4,
      num_experts: 64,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1536,
      n_shared_experts: 2,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      tie_word_embeddings: true,
      use_bias: false,
    },
    only: () => ({ use_bias: false, moe_layer_interval: 1 }),
    interleavedRotary: true,
    experts: {
      ...experts,
      choiceBias: 'moe_statics.e_score_correction_bias',
      routing: () => ({}),
      isSparse: ({ moe_layer_start_index: first = 1, moe_layer_end_index: last = -1 }, block) =>
        block >= Number(first) && (Number(last) < 0 || block <= Number(last)),
      sparseFields: (sparse) => ({
        moe_layer_start_index: sparse.indexOf(true),
        moe_layer_end_index: sparse.lastIndexOf(true),
      }),
    },
  }),
];
