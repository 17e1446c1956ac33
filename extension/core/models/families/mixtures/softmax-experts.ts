import type { Architecture, ExpertNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import {
  attention,
  attentionBiases,
  base,
  feedforward,
  gatedSharedExpert,
  graniteScales,
  windowedByType,
} from '../shared-parts';
import { graniteSharedExpert } from './experts';
import { cohere2, cohere2Lists } from '../parallel';

/** Attention sinks, sliding windows, and blocks without rotation if their `layer_rope_theta` is 0. */
export const graniteSwa = {
  attention: { ...attention, parts: { sinks: 'self_attn.sinks' } },
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
    const usedThetas = new Set(
      (Array.isArray(thetas) ? thetas : []).filter((theta) => theta !== 0),
    );
    const [theta] = usedThetas;
    return {
      'layer_rope_theta of one value': usedThetas.size < 2,
      ...(typeof theta === 'number'
        ? { rope_parameters: { ...(rope as object), rope_theta: theta } }
        : {}),
    };
  },
  only: () => ({ 'layer_rope_theta of one value': true }),
} as const;

/** MoE layers in every block, routed only by softmax. */
const softmaxRouted = {
  modules: ['mlp'],
  router: 'gate',
  gateUp: ['gate_proj', 'up_proj'],
  down: 'down_proj',
  inner: ({ intermediate_size: inner }: ModelConfig) => inner,
  isSparse: () => true,
} as const satisfies ExpertNames;

/** MoE layers with softmax routing, in blocks of other families. */
export const softmaxExperts: readonly Architecture[] = [
  derive(base, named('aria_text', 'AriaText'), {
    names: {
      num_experts: 'moe_num_experts',
      num_experts_per_tok: 'moe_topk',
      n_shared_experts: 'moe_num_shared_experts',
    },
    defaults: { intermediate_size: 4096, n_shared_experts: 2 },
    biases: attentionBiases,
    experts: {
      ...softmaxRouted,
      router: 'router',
      joined: { gateUp: 'experts.fc1.weight', down: 'experts.fc2.weight', transposed: true },
      shared: ({ intermediate_size: inner, n_shared_experts: count }) =>
        gatedSharedExpert('mlp.shared_experts', inner * (count ?? 2)),
    },
  }),
  derive(cohere2, named('cohere2_moe', 'Cohere2Moe'), {
    defaults: {
      head_dim: 128,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      sliding_window: 4096,
      num_shared_experts: 0,
      shared_expert_combination_strategy: 'average',
      norm_topk_prob: true,
    },
    lists: {
      ...cohere2Lists,
      mlp_layer_types: () => 'sparse',
    },
    computed: ({ rms_norm_eps: rms, layer_norm_eps: layer = 1e-5, mlp_layer_types: types }) => ({
      rms_norm_eps: rms ?? layer,
      'mlp_layer_types without dense': !Array.isArray(types) || !types.includes('dense'),
      'norms of rms': typeof rms === 'number',
    }),
    only: () => ({ 'mlp_layer_types without dense': true }),
    experts: {
      ...softmaxRouted,
      routing: (config) => ({
        ...(config['expert_selection_fn'] === 'sigmoid'
          ? { score: 'sigmoid', normalized: config.norm_topk_prob }
          : {}),
      }),
      parts: {
        averagedShared: (config) =>
          Number(config['num_shared_experts']) > 0 &&
          config['shared_expert_combination_strategy'] === 'average',
      },
      shared: ({ intermediate_size: inner, num_shared_experts: count }) =>
        typeof count === 'number' && count > 0
          ? gatedSharedExpert('mlp.shared_experts', inner * count)
          : undefined,
    },
    form: (config) => (config['norms of rms'] === true ? { norm: 'rms' } : {}),
  }),
  derive({ ...base, ...graniteSwa }, named('granitemoe_swa', 'GraniteMoeSWA'), {
    ...graniteSwaLayout,
    names: { num_experts: 'num_local_experts' },
    defaults: { num_experts: 8, num_experts_per_tok: 2, sliding_window: 128 },
    // Both modules are replaced when the branch is removed.
    feedforward: {
      wiring: feedforward.wiring,
      gateUp: ['block_sparse_moe.experts', 'shared_mlp.input_linear'],
      down: 'block_sparse_moe.experts',
    },
    biases: attentionBiases,
    scales: graniteScales,
    experts: {
      ...softmaxRouted,
      modules: ['block_sparse_moe'],
      router: 'router',
      shared: graniteSharedExpert,
    },
  }),
  derive(base, 'phimoe', {
    names: { num_experts: 'num_local_experts' },
    defaults: {
      num_key_value_heads: 8,
      num_experts: 16,
      num_experts_per_tok: 2,
      rms_norm_eps: 1e-5,
      rope_theta: 1_000_000,
      max_position_embeddings: 131_072,
      router_jitter_noise: 0.01,
    },
    computed: ({ rope_parameters: rope, rope_scaling: older }) => ({
      rope_type: ((rope ?? older ?? {}) as ConfigFields)['rope_type'] ?? 'default',
    }),
    // Its factors on cosine and sine are its own where they depend on the length.
    only: () => ({ rope_type: 'default', num_experts_per_tok: 2 }),
    norm: 'layer',
    biases: attentionBiases,
    experts: {
      ...softmaxRouted,
      modules: ['block_sparse_moe', 'mlp'],
      gateUp: ['w1', 'w3'],
      down: 'w2',
      parts: { sparseMixer: ({ router_jitter_noise: noise }) => Number(noise) },
    },
    form: (config) =>
      config['lm_head_bias'] === true
        ? { embeddingAndHead: { ...base.embeddingAndHead, headBias: true } }
        : {},
  }),
];
