import type { Architecture } from '../transformer/architecture';
import { attention, attentionBiases, base, everywhere, queryKeyNorms } from './pieces';

/** Families with mixtures of experts in the place of feed-forwards. */
export const expertFamilies: readonly Architecture[] = [
  {
    ...base,
    modelType: 'mixtral',
    config: {
      names: { num_experts: 'num_local_experts' },
      defaults: () => ({
        num_key_value_heads: 8,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 131_072,
        rope_theta: 1_000_000,
      }),
    },
    slidingWindow: everywhere,
    experts: {
      modules: ['block_sparse_moe', 'mlp'],
      router: 'gate',
      gateUp: ['w1', 'w3'],
      down: 'w2',
      inner: ({ intermediate_size: inner }) => inner,
      isSparse: () => true,
    },
  },
  {
    ...base,
    modelType: 'qwen3_moe',
    classes: { config: 'Qwen3MoeConfig', model: 'Qwen3MoeForCausalLM' },
    config: {
      names: { num_experts: 'num_local_experts' },
      defaults: () => ({
        num_key_value_heads: 4,
        max_position_embeddings: 32_768,
        num_experts: 128,
        num_experts_per_tok: 8,
        sliding_window: 4096,
      }),
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    slidingWindow: (config) =>
      config.use_sliding_window === true ? everywhere(config) : undefined,
    experts: {
      modules: ['mlp'],
      router: 'gate',
      gateUp: ['gate_proj', 'up_proj'],
      down: 'down_proj',
      inner: ({ moe_intermediate_size: inner }) => inner,
      routing: ({ norm_topk_prob: normalized }) => ({ normalized }),
      isSparse: ({ mlp_only_layers: dense, decoder_sparse_step: step }, block) =>
        !(Array.isArray(dense) && dense.includes(block)) &&
        (block + 1) % (typeof step === 'number' ? step : 1) === 0,
      sparseFields: (sparse) => ({
        mlp_only_layers: sparse.flatMap((isSparse, block) => (isSparse ? [] : [block])),
        decoder_sparse_step: 1,
      }),
    },
  },
];
