import type { Architecture, ExpertNames, SharedExpertNames } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/config-layout';
import type { ModelConfig } from '../transformer/model-config';
import { expertDefaults, experts, latentAttention, ownKeys, routed } from './deepseek-like';
import {
  attention,
  attentionBiases,
  base,
  everyNthFull,
  feedforward,
  graniteScales,
  queryKeyNorms,
  windowedByType,
} from './pieces';
import { isWindowedIfAny } from './post-norm';
import { say } from '../../message';

const gated = (module: string, inner: number): SharedExpertNames => ({
  gateUp: { kind: 'separate', names: [`${module}.gate_proj`, `${module}.up_proj`] },
  down: `${module}.down_proj`,
  inner,
});

/** Experts that are all there is in a block, or its feed-forward by `mlp_layer_types`. */
const byLayerType: Pick<ExpertNames, 'isSparse'> = {
  isSparse: ({ mlp_layer_types: types }, block) =>
    !Array.isArray(types) || types[block] === 'sparse',
};

const firstDense = {
  mlp_layer_types: (_: ConfigFields, block: number) => (block === 0 ? 'dense' : 'sparse'),
} as const;

/** Attention sinks, windows, and blocks that turn nothing where their `layer_rope_theta` is 0. */
export const graniteSwa = {
  attention: { ...attention, sinks: 'self_attn.sinks' },
  turns: ({ layer_rope_theta: thetas }: ModelConfig, block: number): boolean =>
    !Array.isArray(thetas) || thetas[block] !== 0,
  slidingWindow: windowedByType,
} as const;

export const graniteSwaLayout = {
  lists: {
    layer_types: (_: ConfigFields, block: number) =>
      block % 4 === 0 ? 'full_attention' : 'sliding_attention',
  },
  computed: ({ layer_rope_theta: thetas, rope_parameters: rope }: ConfigFields): ConfigFields => {
    const turning = new Set((Array.isArray(thetas) ? thetas : []).filter((theta) => theta !== 0));
    const [theta] = turning;
    return {
      'layer_rope_theta of one value': turning.size < 2,
      ...(typeof theta === 'number'
        ? { rope_parameters: { ...(rope as object), rope_theta: theta } }
        : {}),
    };
  },
  only: () => ({ 'layer_rope_theta of one value': true }),
} as const;

const sarvamAttention = {
  norm: attention.norm,
  queryKeyValue: { kind: 'fused', name: 'attention.query_key_value' },
  output: 'attention.dense',
} as const;

/** Mixtures of experts that combine what others have. */
export const newerExperts: readonly Architecture[] = [
  {
    ...base,
    ...latentAttention,
    modelType: 'axk1',
    classes: { config: 'AXK1Config', model: 'AXK1ForCausalLM' },
    config: {
      names: routed,
      defaults: () => ({
        ...expertDefaults,
        num_experts: 192,
        q_lora_rank: 1536,
        routed_scaling_factor: 2.5,
        n_group: 8,
        topk_group: 4,
        max_position_embeddings: 32_768,
      }),
      lists: firstDense,
      computed: ownKeys,
    },
    experts: { ...experts, ...byLayerType, postNorm: 'post_mlp_layernorm' },
    form: ({ rope_interleave: turns }) => ({ interleavedRotary: turns !== false }),
  },
  {
    ...base,
    ...latentAttention,
    modelType: 'sarvam_mla',
    classes: { config: 'SarvamMLAConfig', model: 'DeepseekV3ForCausalLM' },
    config: {
      names: routed,
      defaults: () => ({
        ...expertDefaults,
        num_experts: 128,
        routed_scaling_factor: 2.5,
        first_k_dense_replace: 1,
        n_group: 1,
        topk_group: 1,
        max_position_embeddings: 4096,
      }),
      computed: ownKeys,
    },
    experts,
    form: ({ rope_interleave: turns }) => ({ interleavedRotary: turns !== false }),
  },
  {
    ...base,
    modelType: 'sarvam_moe',
    classes: { config: 'SarvamMoEConfig', model: 'Glm4MoeForCausalLM' },
    otherModules: say`transformers runs sarvam_moe models with the modules of glm4_moe, under other names.`,
    config: {
      names: routed,
      defaults: () => ({
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
      }),
    },
    outer: { ...base.outer, embedding: 'word_embeddings' },
    attention: sarvamAttention,
    biases: ({ attention_bias: bias }) => ({ ...base.biases(), queryKeyValue: bias }),
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
  },
  {
    ...base,
    modelType: 'flint',
    config: {
      defaults: () => ({
        ...expertDefaults,
        num_key_value_heads: 4,
        head_dim: 128,
        num_experts_per_tok: 6,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 1024,
        sliding_window: 513,
        mlp_only_layers: [0, 1],
      }),
      lists: {
        layer_types: ({ num_hidden_layers: blocks }, block) =>
          block < 2 || block % 4 === 1 || block === Number(blocks) - 1
            ? 'full_attention'
            : 'sliding_attention',
      },
    },
    attention: { ...attention, queryKeyNorms, sinks: 'self_attn.softmax_offset' },
    biases: attentionBiases,
    turns: ({ layer_types: types }, block) => types?.[block] === 'sliding_attention',
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      choiceBias: undefined,
      routing: ({ norm_topk_prob: normalized }) => ({ score: 'sigmoid', normalized }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gated('mlp.shared_expert', inner ?? 1024),
      isSparse: ({ mlp_only_layers: dense, decoder_sparse_step: step }, block) =>
        !(Array.isArray(dense) && dense.includes(block)) && (block + 1) % Number(step ?? 1) === 0,
      sparseFields: (sparse) => ({
        mlp_only_layers: sparse.flatMap((isSparse, block) => (isSparse ? [] : [block])),
        decoder_sparse_step: 1,
      }),
    },
  },
  {
    ...base,
    modelType: 'hy_v3',
    classes: { config: 'HYV3Config', model: 'HYV3ForCausalLM' },
    config: {
      names: { routed_scaling_factor: 'router_scaling_factor', n_shared_experts: 'num_shared_experts' },
      defaults: () => ({
        ...expertDefaults,
        num_key_value_heads: 8,
        head_dim: 128,
        num_experts: 192,
        moe_intermediate_size: 1536,
        rms_norm_eps: 1e-5,
        routed_scaling_factor: 2.826,
        rope_theta: 11_158_840,
      }),
      lists: firstDense,
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    experts: {
      ...experts,
      ...byLayerType,
      router: 'router.gate',
      choiceBias: 'expert_bias',
      shared: ({ moe_intermediate_size: inner, n_shared_experts: count }) =>
        gated('mlp.shared_mlp', inner * (count ?? 1)),
    },
  },
  {
    ...base,
    modelType: 'kolibri1',
    config: {
      names: { num_experts: 'num_local_experts' },
      defaults: () => ({
        ...expertDefaults,
        num_key_value_heads: 4,
        head_dim: 128,
        num_experts: 384,
        num_experts_per_tok: 6,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 512,
        norm_topk_prob: false,
        sliding_window: 513,
        // No block has a dense feed-forward.
        intermediate_size: 1,
      }),
      lists: { layer_types: (_, block) => everyNthFull(5, block) },
    },
    attention: { ...attention, queryKeyNorms, postNorm: 'post_attn_norm' },
    feedforward: { ...feedforward, postNorm: 'post_ffn_norm' },
    turns: isWindowedIfAny,
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      choiceBias: 'moe.router.expert_bias',
      choiceBiasIsOfBlock: true,
      routing: ({ norm_topk_prob: normalized }) => ({
        score: 'sigmoid',
        normalized,
        choosesByScores: true,
      }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gated('mlp.shared_experts', inner ?? 512),
      isSparse: () => true,
    },
  },
  {
    ...base,
    modelType: 'laguna',
    config: {
      names: { routed_scaling_factor: 'moe_routed_scaling_factor' },
      defaults: () => ({
        ...expertDefaults,
        num_key_value_heads: 8,
        head_dim: 128,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 512,
        sliding_window: 512,
        gating: true,
      }),
      lists: { layer_types: () => 'full_attention', ...firstDense },
      computed: ({
        num_attention_heads_per_layer: heads,
        num_attention_heads: usual,
      }) => ({
        'num_attention_heads_per_layer of one value':
          !Array.isArray(heads) || heads.every((count) => count === usual),
      }),
      only: () => ({
        'num_attention_heads_per_layer of one value': true,
        moe_router_logit_softcapping: 0,
      }),
    },
    attention: { ...attention, queryKeyNorms, gate: 'self_attn.g_proj', gateActivation: 'softplus' },
    biases: attentionBiases,
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      ...byLayerType,
      choiceBias: 'experts.e_score_correction_bias',
      routing: ({ routed_scaling_factor: shareScale }) => ({ score: 'sigmoid', shareScale }),
      shared: ({ shared_expert_intermediate_size: inner }) =>
        gated('mlp.shared_expert', inner ?? 512),
    },
    form: ({ gating: how }) =>
      how === true || how === 'per-head'
        ? {
            attention: {
              ...attention,
              queryKeyNorms,
              gate: 'self_attn.g_proj',
              gateActivation: 'softplus',
              gateIsByHead: true,
            },
          }
        : {},
  },
  {
    ...base,
    modelType: 'aria_text',
    classes: { config: 'AriaTextConfig', model: 'AriaTextForCausalLM' },
    config: {
      names: {
        num_experts: 'moe_num_experts',
        num_experts_per_tok: 'moe_topk',
        n_shared_experts: 'moe_num_shared_experts',
      },
      defaults: () => ({ intermediate_size: 4096, n_shared_experts: 2 }),
    },
    biases: attentionBiases,
    experts: {
      ...experts,
      choiceBias: undefined,
      router: 'router',
      joined: { gateUp: 'experts.fc1.weight', down: 'experts.fc2.weight', transposed: true },
      inner: ({ intermediate_size: inner }) => inner,
      routing: () => ({}),
      shared: ({ intermediate_size: inner, n_shared_experts: count }) =>
        gated('mlp.shared_experts', inner * (count ?? 2)),
      isSparse: () => true,
    },
  },
  {
    ...base,
    modelType: 'cohere2_moe',
    classes: { config: 'Cohere2MoeConfig', model: 'Cohere2MoeForCausalLM' },
    config: {
      defaults: () => ({
        head_dim: 128,
        max_position_embeddings: 8192,
        tie_word_embeddings: true,
        sliding_window: 4096,
        num_shared_experts: 0,
        shared_expert_combination_strategy: 'average',
        norm_topk_prob: true,
      }),
      lists: {
        layer_types: ({ sliding_window_pattern: every = 4 }, block) =>
          everyNthFull(Number(every), block),
        mlp_layer_types: () => 'sparse',
      },
      computed: ({ rms_norm_eps: rms, layer_norm_eps: layer = 1e-5, mlp_layer_types: types }) => ({
        rms_norm_eps: rms ?? layer,
        'mlp_layer_types without dense': !Array.isArray(types) || !types.includes('dense'),
        'norms of rms': typeof rms === 'number',
      }),
      only: () => ({ 'mlp_layer_types without dense': true }),
    },
    norm: 'layer-without-bias',
    parallel: true,
    feedforward: { ...feedforward, norm: attention.norm },
    biases: attentionBiases,
    interleavedRotary: true,
    turns: isWindowedIfAny,
    slidingWindow: windowedByType,
    scales: ({ logit_scale: scale }) => ({ logits: scale }),
    experts: {
      ...experts,
      choiceBias: undefined,
      inner: ({ intermediate_size: inner }) => inner,
      routing: (config) => ({
        score: config['expert_selection_fn'] === 'sigmoid' ? 'sigmoid' : 'softmax',
        normalized:
          config['expert_selection_fn'] !== 'sigmoid' || config['norm_topk_prob'] !== false,
        averagesShared:
          Number(config['num_shared_experts']) > 0 &&
          config['shared_expert_combination_strategy'] === 'average',
      }),
      shared: ({ intermediate_size: inner, num_shared_experts: count }) =>
        typeof count === 'number' && count > 0
          ? gated('mlp.shared_experts', inner * count)
          : undefined,
      isSparse: () => true,
    },
    form: (config) => (config['norms of rms'] === true ? { norm: 'rms' } : {}),
  },
  {
    ...base,
    ...graniteSwa,
    modelType: 'granitemoe_swa',
    classes: { config: 'GraniteMoeSWAConfig', model: 'GraniteMoeSWAForCausalLM' },
    config: {
      ...graniteSwaLayout,
      names: { num_experts: 'num_local_experts' },
      defaults: () => ({ num_experts: 8, num_experts_per_tok: 2, sliding_window: 128 }),
    },
    // Both modules go where the branch is removed.
    feedforward: {
      norm: feedforward.norm,
      gateUp: { kind: 'separate', names: ['block_sparse_moe.experts', 'shared_mlp.input_linear'] },
      down: 'block_sparse_moe.experts',
    },
    biases: attentionBiases,
    scales: graniteScales,
    experts: {
      ...experts,
      choiceBias: undefined,
      modules: ['block_sparse_moe'],
      router: 'router',
      inner: ({ intermediate_size: inner }) => inner,
      routing: () => ({}),
      shared: ({ shared_intermediate_size: inner }) =>
        inner === undefined || inner === null || inner === 0
          ? undefined
          : {
              gateUp: { kind: 'fused', name: 'shared_mlp.input_linear' },
              down: 'shared_mlp.output_linear',
              inner,
            },
      isSparse: () => true,
    },
  },
  {
    ...base,
    modelType: 'phimoe',
    config: {
      names: { num_experts: 'num_local_experts' },
      defaults: () => ({
        num_key_value_heads: 8,
        num_experts: 16,
        num_experts_per_tok: 2,
        rms_norm_eps: 1e-5,
        rope_theta: 1_000_000,
        max_position_embeddings: 131_072,
        router_jitter_noise: 0.01,
      }),
      computed: ({ rope_parameters: rope, rope_scaling: older }) => ({
        rope_type: ((rope ?? older ?? {}) as ConfigFields)['rope_type'] ?? 'default',
      }),
      // Its factors on cosine and sine are its own where they depend on the length.
      only: () => ({ rope_type: 'default', num_experts_per_tok: 2 }),
    },
    norm: 'layer',
    biases: (config) => attentionBiases(config),
    experts: {
      ...experts,
      choiceBias: undefined,
      modules: ['block_sparse_moe', 'mlp'],
      gateUp: ['w1', 'w3'],
      down: 'w2',
      inner: ({ intermediate_size: inner }) => inner,
      routing: ({ router_jitter_noise: noise }) => ({ mixesSparsely: Number(noise) }),
      shared: () => undefined,
      isSparse: () => true,
    },
    form: (config) =>
      config['lm_head_bias'] === true ? { outer: { ...base.outer, headBias: true } } : {},
  },
];
