import type { Architecture, ExpertNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields } from '../../transformer/model-config';
import {
  attention,
  attentionBiases,
  base,
  clipInConfig,
  windowEverywhere,
  feedforward,
  graniteScales,
  hunyuanAttention,
  queryKeyNorms,
  sparseByType,
  windowedByType,
  gatedSharedExpert,
  rotatesByList,
} from '../shared-parts';
import { olmo2 } from '../post-norm';
import { say } from '../../../message';
import { preNorm } from '../../modules/wiring-names';

/** True if a block has experts, according to `moe_layers` or the interval. */
function isSparse(
  { moe_layers: sparse, interleave_moe_layer_step: step = 1 }: ConfigFields,
  block: number,
): boolean {
  return Array.isArray(sparse) ? sparse.includes(block) : (block + 1) % Number(step) === 0;
}

/** The text tower of Llama 4. */
export const llama4: Architecture = {
  ...base,
  modelType: 'llama4_text',
  classes: { config: 'Llama4TextConfig', model: 'Llama4ForCausalLM' },
  otherModules: say`The experts of llama4_text models return a pair in transformers, other MLPs don't.`,
  config: {
    // The field for the expert width is renamed first, so that the MLP width can take its name.
    names: {
      moe_intermediate_size: 'intermediate_size',
      intermediate_size: 'intermediate_size_mlp',
      num_experts: 'num_local_experts',
    },
    defaults: () => ({
      moe_intermediate_size: 8192,
      intermediate_size: 16_384,
      num_key_value_heads: 8,
      head_dim: 128,
      num_experts: 16,
      num_experts_per_tok: 1,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      max_position_embeddings: 131_072,
    }),
    lists: {
      no_rope_layers: ({ no_rope_layer_interval: every = 4 }, block) =>
        Number((block + 1) % Number(every) !== 0),
    },
  },
  attention,
  blockForm: (config, block) =>
    config.use_qk_norm !== false && rotatesByList(config, block)
      ? {
          attention: {
            ...attention,
            queryKeyNorms: { over: 'head', afterRotary: true },
          },
        }
      : {},
  feedforward: {
    wiring: preNorm('post_attention_layernorm'),
    gateUp: ['feed_forward.gate_proj', 'feed_forward.up_proj'],
    down: 'feed_forward.down_proj',
  },
  experts: {
    modules: ['feed_forward'],
    router: 'router',
    gateUp: ['gate_proj', 'up_proj'],
    down: 'down_proj',
    joined: { gateUp: 'experts.gate_up_proj', down: 'experts.down_proj', transposed: true },
    inner: ({ moe_intermediate_size: inner }) => inner,
    routing: () => ({
      score: 'sigmoid',
      normalized: false,
      choosesByScores: true,
    }),
    parts: { scaledInput: {} },
    shared: ({ moe_intermediate_size: inner }) =>
      gatedSharedExpert('feed_forward.shared_expert', inner),
    isSparse,
    sparseFields: (sparse) => ({
      moe_layers: sparse.flatMap((one, block) => (one ? [block] : [])),
    }),
  },
  biases: attentionBiases,
  interleavedRotary: true,
  turns: rotatesByList,
  queryGrowth: ({
    attn_temperature_tuning: isTuned = true,
    attn_scale: scale = 0.1,
    floor_scale: period = 8192,
  }) =>
    isTuned === true
      ? { scale: Number(scale), period: Number(period), offset: 1, onlyUnrotated: true }
      : undefined,
  // Attention in chunks is full attention up to this length.
  maxPositions: ({ attention_chunk_size: chunk = 8192 }) =>
    chunk === null ? Number.POSITIVE_INFINITY : Number(chunk),
  limits:
    'Runs on up to `attention_chunk_size` tokens (8192 by default), one chunk of its attention.',
};

/** Gate, up and down of an expert as most families name them. */
const experts = {
  modules: ['mlp'],
  router: 'gate',
  gateUp: ['gate_proj', 'up_proj'],
  down: 'down_proj',
  isSparse: () => true,
} as const;

/** Expert names of Mixtral (arXiv 2401.04088). */
export const mixtralExperts: ExpertNames = {
  modules: ['block_sparse_moe', 'mlp'],
  router: 'gate',
  gateUp: ['w1', 'w3'],
  down: 'w2',
  inner: ({ intermediate_size: inner }) => inner,
  isSparse: () => true,
};

/** MoE layers of Qwen. The config lists blocks without experts by number. */
const qwenExperts: ExpertNames = {
  ...experts,
  inner: ({ moe_intermediate_size: inner }) => inner,
  routing: ({ norm_topk_prob: normalized }) => ({ normalized }),
  isSparse: ({ mlp_only_layers: dense, decoder_sparse_step: step }, block) =>
    !(Array.isArray(dense) && dense.includes(block)) &&
    (block + 1) % (typeof step === 'number' ? step : 1) === 0,
  sparseFields: (sparse) => ({
    mlp_only_layers: sparse.flatMap((isSparse, block) => (isSparse ? [] : [block])),
    decoder_sparse_step: 1,
  }),
};

/** Like the above, with a gated shared expert. */
export const sharedQwenExperts: ExpertNames = {
  ...qwenExperts,
  shared: ({ shared_expert_intermediate_size: inner }) => ({
    gateUp: ['mlp.shared_expert.gate_proj', 'mlp.shared_expert.up_proj'],
    down: 'mlp.shared_expert.down_proj',
    gate: 'mlp.shared_expert_gate',
    inner: inner ?? 5632,
  }),
};

const olmoExperts: ExpertNames = {
  ...experts,
  inner: ({ intermediate_size: inner }) => inner,
  routing: ({ norm_topk_prob: normalized }) => ({ normalized }),
};

const graniteMoe = {
  ...base,
  config: {
    names: { num_experts: 'num_local_experts' },
    defaults: () => ({ num_experts: 8, num_experts_per_tok: 2 }),
  },
  feedforward: {
    wiring: feedforward.wiring,
    gateUp: { fused: 'block_sparse_moe.input_linear' },
    down: 'block_sparse_moe.output_linear',
  },
  biases: attentionBiases,
  scales: graniteScales,
} as const;

export const graniteExperts: ExpertNames = {
  ...mixtralExperts,
  modules: ['block_sparse_moe'],
  router: 'router.layer',
  joined: { gateUp: 'input_linear.weight', down: 'output_linear.weight' },
};

/** Shared expert of Granite, which may be the only one. */
export const graniteShared = {
  gateUp: { fused: 'shared_mlp.input_linear' },
  down: 'shared_mlp.output_linear',
} as const;

/** The shared expert, which is absent if `shared_intermediate_size` is 0 or missing. */
export const graniteSharedExpert: NonNullable<ExpertNames['shared']> = ({
  shared_intermediate_size: inner,
}) =>
  inner === undefined || inner === null || inner === 0 ? undefined : { ...graniteShared, inner };

/** Both modules are replaced when the branch is removed. */
export const graniteWithShared = {
  wiring: feedforward.wiring,
  gateUp: ['block_sparse_moe.input_linear', 'shared_mlp.input_linear'],
  down: 'block_sparse_moe.output_linear',
} as const;

/** Families with MoE layers instead of MLPs. */
export const expertFamilies: readonly Architecture[] = [
  derive(base, 'mixtral', {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 131_072,
      rope_theta: 1_000_000,
    },
    slidingWindow: windowEverywhere,
    experts: mixtralExperts,
  }),
  derive(base, named('qwen3_moe', 'Qwen3Moe'), {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 4,
      max_position_embeddings: 32_768,
      num_experts: 128,
      num_experts_per_tok: 8,
      sliding_window: 4096,
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    slidingWindow: (config) =>
      config.use_sliding_window === true ? windowEverywhere(config) : undefined,
    experts: qwenExperts,
  }),
  derive(base, 'mellum', {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 4,
      head_dim: 128,
      num_experts: 64,
      num_experts_per_tok: 8,
      moe_intermediate_size: 896,
      norm_topk_prob: true,
    },
    lists: {
      layer_types: () => 'full_attention',
      mlp_layer_types: () => 'sparse',
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      inner: ({ moe_intermediate_size: inner }) => inner,
      routing: ({ norm_topk_prob: normalized }) => ({ normalized }),
      isSparse: sparseByType,
    },
  }),
  derive(base, named('qwen2_moe', 'Qwen2Moe'), {
    defaults: {
      num_key_value_heads: 16,
      max_position_embeddings: 32_768,
      num_experts: 60,
      num_experts_per_tok: 4,
      moe_intermediate_size: 1408,
      shared_expert_intermediate_size: 5632,
      qkv_bias: true,
    },
    biases: ({ qkv_bias: bias }) => ({ ...base.biases(), queryKeyValue: bias !== false }),
    slidingWindow: (config, block) =>
      config.use_sliding_window === true ? windowedByType(config, block) : undefined,
    experts: sharedQwenExperts,
  }),
  derive(base, 'olmoe', {
    defaults: { rms_norm_eps: 1e-5, num_experts: 64, num_experts_per_tok: 8 },
    attention: {
      ...attention,
      queryKeyNorms: { ...queryKeyNorms, over: 'projection' },
      parts: { clip: clipInConfig },
    },
    biases: attentionBiases,
    experts: olmoExperts,
  }),
  derive(olmo2, named('flex_olmo', 'FlexOlmo'), {
    defaults: { rms_norm_eps: 1e-6, num_experts: 7, num_experts_per_tok: 5, rope_theta: 500_000 },
    experts: olmoExperts,
  }),
  derive(graniteMoe, named('granitemoe', 'GraniteMoe'), {
    experts: graniteExperts,
  }),
  derive(graniteMoe, named('granitemoeshared', 'GraniteMoeShared'), {
    feedforward: graniteWithShared,
    experts: { ...graniteExperts, shared: graniteSharedExpert },
  }),
  derive(base, named('gpt_oss', 'GptOss'), {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 8,
      head_dim: 64,
      rms_norm_eps: 1e-5,
      rope_theta: 150_000,
      max_position_embeddings: 131_072,
      sliding_window: 128,
      num_experts: 128,
      num_experts_per_tok: 4,
      attention_bias: true,
    },
    lists: {
      layer_types: (_, block) => (block % 2 === 0 ? 'sliding_attention' : 'full_attention'),
    },
    attention: { ...attention, parts: { sinks: 'self_attn.sinks' } },
    biases: attentionBiases,
    slidingWindow: windowedByType,
    experts: {
      ...experts,
      router: 'router',
      routerBias: true,
      expertParts: { clamp: gptOssGate },
      joined: {
        gateUp: 'experts.gate_up_proj',
        order: 'alternating',
        down: 'experts.down_proj',
        transposed: true,
        biases: true,
      },
      inner: ({ intermediate_size: inner }) => inner,
    },
  }),
  derive(base, named('minimax_m2', 'MiniMaxM2'), {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 8,
      head_dim: 128,
      rope_theta: 5_000_000,
      num_experts: 256,
      num_experts_per_tok: 8,
    },
    attention: { ...attention, queryKeyNorms: { ...queryKeyNorms, over: 'projection' } },
    experts: {
      ...mixtralExperts,
      choiceBias: 'e_score_correction_bias',
      routing: () => ({ score: 'sigmoid' }),
    },
  }),
  derive(base, named('hunyuan_v1_moe', 'HunYuanMoEV1'), {
    names: { num_experts_per_tok: 'moe_topk' },
    defaults: { rms_norm_eps: 1e-5, num_experts: 1, num_experts_per_tok: 1 },
    attention: hunyuanAttention,
    biases: attentionBiases,
    experts: {
      ...experts,
      router: 'gate.wg',
      inner: ({ intermediate_size: inner }) => inner,
      shared: ({ intermediate_size: inner }) => ({
        gateUp: ['mlp.shared_mlp.gate_proj', 'mlp.shared_mlp.up_proj'],
        down: 'mlp.shared_mlp.down_proj',
        inner,
      }),
    },
  }),
];

function gptOssGate(config: ConfigFields): { alpha: number; limit: number } {
  const numberOr = (value: unknown, usual: number): number =>
    typeof value === 'number' ? value : usual;
  return {
    alpha: numberOr(config['swiglu_alpha'], 1.702),
    limit: numberOr(config['swiglu_limit'], 7),
  };
}
