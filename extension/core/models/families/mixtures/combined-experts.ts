import type { Architecture } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import { deepseek, deepseekLayout, expertDefaults, experts, routed } from './deepseek-like';
import {
  optionalNumber,
  attention,
  attentionBiases,
  base,
  denseFirst,
  everyNthFull,
  feedforward,
  gatedSharedExpert,
  queryKeyNorms,
  queryKeyValueBiases,
  sparseByType,
  windowedByType,
} from '../shared-parts';
import { isWindowedIfAny } from '../post-norm';
import { say } from '../../../message';
import { sandwich, scaled } from '../../modules/wiring-names';

/** The first block and every sixth have full attention. */
const mimoLayerType = (_: ConfigFields, block: number): string =>
  block === 0 ? 'full_attention' : everyNthFull(6, block);

const sarvamAttention = {
  wiring: attention.wiring,
  queryKeyValue: { fused: 'attention.query_key_value' },
  output: 'attention.dense',
} as const;

const lagunaAttention = {
  ...attention,
  queryKeyNorms,
  parts: { gate: { name: 'self_attn.g_proj', activation: 'Softplus' } },
} as const;

/** Sizes of the indexer that selects tokens. */
const indexers = (heads: number): ConfigFields => ({
  index_n_heads: heads,
  index_head_dim: 128,
  index_topk: 2048,
});

/** Attention to the best `index_topk` tokens alone: to all of a text that is no longer. */
const sparseAttention = {
  attention: {
    ...deepseek.attention,
    latent: {
      ...deepseek.attention.latent,
      indexer: {
        queryUp: 'self_attn.indexer.wq_b',
        key: 'self_attn.indexer.wk',
        keyNorm: 'self_attn.indexer.k_norm',
        weights: 'self_attn.indexer.weights_proj',
      },
    },
  },
  maxPositions: (config: ModelConfig): number => Number(config['index_topk']),
  limits:
    'Runs on up to `index_topk` tokens, where attention reads all of them. Choosing among more is not supported.',
};

const mimoAttention = {
  ...attention,
  // In transformers, the factor is on values.
  wiring: scaled(attention.wiring, (config) => ({
    branch: optionalNumber(config, 'attention_value_scale', 1),
  })),
} as const;

/** MoE families that combine features of earlier ones. */
export const newerExperts: readonly Architecture[] = [
  derive(base, named('mimo_v2_flash', 'MiMoV2Flash'), {
    names: routed,
    defaults: {
      ...expertDefaults,
      n_shared_experts: 0,
      num_key_value_heads: 4,
      head_dim: 192,
      v_head_dim: 128,
      rms_norm_eps: 1e-5,
      sliding_window: 129,
      rope_parameters: {
        full_attention: { rope_theta: 5_000_000, partial_rotary_factor: 0.334 },
        sliding_attention: { rope_theta: 10_000, partial_rotary_factor: 0.334 },
      },
    },
    lists: { layer_types: mimoLayerType, mlp_layer_types: denseFirst(1) },
    // As published: no factor, and a window that does not count the token itself.
    computed: ({
      routed_scaling_factor: factor,
      sliding_window_size: before,
      attention_value_scale: scale = 0.707,
    }) => ({
      attention_value_scale: scale,
      ...(factor === null ? { routed_scaling_factor: 1 } : {}),
      ...(typeof before === 'number' ? { sliding_window: before + 1 } : {}),
    }),
    biases: queryKeyValueBiases,
    heads: (config, block) => ({
      valueDim: config.v_head_dim ?? 128,
      numKeyValueHeads:
        (config.num_key_value_heads ?? 4) *
        (config.layer_types?.[block] === 'sliding_attention' ? 2 : 1),
    }),
    attention: mimoAttention,
    blockForm: ({ layer_types: types }, block) =>
      types?.[block] === 'sliding_attention'
        ? { attention: { ...mimoAttention, parts: { sinks: 'self_attn.attention_sink_bias' } } }
        : {},
    aliases: { attention_sink_bias: 'sinks' },
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
    experts,
  }),
  derive({ ...deepseek, ...sparseAttention }, named('deepseek_v32', 'DeepseekV32'), {
    ...deepseekLayout,
    defaults: {
      ...expertDefaults,
      q_lora_rank: 1536,
      routed_scaling_factor: 2.5,
      n_group: 8,
      topk_group: 4,
      max_position_embeddings: 163_840,
      ...indexers(64),
    },
    lists: { mlp_layer_types: denseFirst(3) },
  }),
  derive({ ...deepseek, ...sparseAttention }, named('glm_moe_dsa', 'GlmMoeDsa'), {
    attentionGives: 'triple',
    ...deepseekLayout,
    defaults: {
      ...expertDefaults,
      q_lora_rank: 2048,
      qk_nope_head_dim: 192,
      v_head_dim: 256,
      routed_scaling_factor: 2.5,
      rms_norm_eps: 1e-5,
      ...indexers(32),
    },
    lists: { mlp_layer_types: denseFirst(3) },
  }),
  derive(deepseek, named('axk1', 'AXK1'), {
    ...deepseekLayout,
    defaults: {
      ...expertDefaults,
      num_experts: 192,
      q_lora_rank: 1536,
      routed_scaling_factor: 2.5,
      n_group: 8,
      topk_group: 4,
      max_position_embeddings: 32_768,
    },
    lists: { mlp_layer_types: denseFirst(1) },
    experts: {
      ...experts,
      isSparse: sparseByType,
      wiring: sandwich('post_attention_layernorm', 'post_mlp_layernorm'),
    },
  }),
  derive(deepseek, 'sarvam_mla', {
    classes: { config: 'SarvamMLAConfig', model: 'DeepseekV3ForCausalLM' },
    ...deepseekLayout,
    defaults: {
      ...expertDefaults,
      num_experts: 128,
      routed_scaling_factor: 2.5,
      first_k_dense_replace: 1,
      n_group: 1,
      topk_group: 1,
      max_position_embeddings: 4096,
    },
  }),
  derive(base, 'sarvam_moe', {
    classes: { config: 'SarvamMoEConfig', model: 'Glm4MoeForCausalLM' },
    otherModules: say`transformers runs sarvam_moe models with the modules of glm4_moe, under other names.`,
    names: routed,
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 4,
      head_dim: 64,
      num_experts: 128,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1024,
      routed_scaling_factor: 2.5,
      first_k_dense_replace: 1,
      rope_theta: 8_000_000,
      use_qk_norm: true,
    },
    embeddingAndHead: { ...base.embeddingAndHead, embedding: 'word_embeddings' },
    attention: sarvamAttention,
    biases: queryKeyValueBiases,
    experts: { ...experts, choiceBias: 'gate.expert_bias' },
    form: ({ use_qk_norm: isNormed }) =>
      isNormed === true
        ? {
            attention: {
              ...sarvamAttention,
              queryKeyNorms: {
                query: 'attention.query_layernorm',
                key: 'attention.key_layernorm',
                over: 'head',
              },
            },
          }
        : {},
  }),
  derive(base, 'flint', {
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 4,
      head_dim: 128,
      num_experts_per_tok: 6,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 1024,
      sliding_window: 513,
      mlp_only_layers: [0, 1],
    },
    lists: {
      layer_types: ({ num_hidden_layers: blocks }, block) =>
        block < 2 || block % 4 === 1 || block === Number(blocks) - 1
          ? 'full_attention'
          : 'sliding_attention',
    },
    attention: { ...attention, queryKeyNorms, parts: { sinks: 'self_attn.softmax_offset' } },
    biases: attentionBiases,
    turns: ({ layer_types: types }, block) => types?.[block] === 'sliding_attention',
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      choiceBias: undefined,
      routing: ({ norm_topk_prob: normalized }) => ({ score: 'sigmoid', normalized }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gatedSharedExpert('mlp.shared_expert', inner ?? 1024),
      isSparse: ({ mlp_only_layers: dense, decoder_sparse_step: step }, block) =>
        !(Array.isArray(dense) && dense.includes(block)) && (block + 1) % Number(step ?? 1) === 0,
      sparseFields: (sparse) => ({
        mlp_only_layers: sparse.flatMap((isSparse, block) => (isSparse ? [] : [block])),
        decoder_sparse_step: 1,
      }),
    },
  }),
  derive(base, named('hy_v3', 'HYV3'), {
    names: {
      routed_scaling_factor: 'router_scaling_factor',
      n_shared_experts: 'num_shared_experts',
    },
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 8,
      head_dim: 128,
      num_experts: 192,
      moe_intermediate_size: 1536,
      rms_norm_eps: 1e-5,
      routed_scaling_factor: 2.826,
      rope_theta: 11_158_840,
    },
    lists: { mlp_layer_types: denseFirst(1) },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    experts: {
      ...experts,
      isSparse: sparseByType,
      router: 'router.gate',
      choiceBias: 'expert_bias',
      shared: ({ moe_intermediate_size: inner, n_shared_experts: count }) =>
        gatedSharedExpert('mlp.shared_mlp', inner * (count ?? 1)),
    },
  }),
  derive(base, 'kolibri1', {
    aliases: { 'mlp.router.expert_bias': 'moe.router.expert_bias' },
    names: { num_experts: 'num_local_experts' },
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 4,
      head_dim: 128,
      num_experts: 384,
      num_experts_per_tok: 6,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 512,
      norm_topk_prob: false,
      sliding_window: 513,
      // No block has a dense MLP.
      intermediate_size: 1,
    },
    lists: { layer_types: (_, block) => everyNthFull(5, block) },
    attention: {
      ...attention,
      queryKeyNorms,
      wiring: sandwich(attention.wiring.norm, 'post_attn_norm'),
    },
    feedforward: { ...feedforward, wiring: sandwich(feedforward.wiring.norm, 'post_ffn_norm') },
    turns: isWindowedIfAny,
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      choiceBias: 'router.expert_bias',
      routing: ({ norm_topk_prob: normalized }) => ({
        score: 'sigmoid',
        normalized,
        choosesByScores: true,
      }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gatedSharedExpert('mlp.shared_experts', inner ?? 512),
      isSparse: () => true,
    },
  }),
  derive(base, 'laguna', {
    names: { routed_scaling_factor: 'moe_routed_scaling_factor' },
    defaults: {
      ...expertDefaults,
      num_key_value_heads: 8,
      head_dim: 128,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 512,
      sliding_window: 512,
      gating: true,
    },
    lists: { layer_types: () => 'full_attention', mlp_layer_types: denseFirst(1) },
    computed: ({ num_attention_heads_per_layer: heads, num_attention_heads: usual }) => ({
      'num_attention_heads_per_layer of one value':
        !Array.isArray(heads) || heads.every((count) => count === usual),
    }),
    only: () => ({
      'num_attention_heads_per_layer of one value': true,
      moe_router_logit_softcapping: 0,
    }),
    attention: lagunaAttention,
    biases: attentionBiases,
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      isSparse: sparseByType,
      choiceBias: 'experts.e_score_correction_bias',
      routing: ({ routed_scaling_factor: shareScale }) => ({ score: 'sigmoid', shareScale }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gatedSharedExpert('mlp.shared_expert', inner ?? 512),
    },
    form: ({ gating: how }) =>
      how === true || how === 'per-head'
        ? {
            attention: {
              ...lagunaAttention,
              parts: { gate: { ...lagunaAttention.parts.gate, byHead: true } },
            },
          }
        : {},
  }),
];
