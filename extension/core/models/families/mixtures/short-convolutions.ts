import type { Architecture, ExpertNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import {
  optionalNumber,
  attentionBiases,
  base,
  queryKeyNorms,
  queryKeyLayernorms,
  windowedByType,
} from '../shared-parts';
import { mixedByType } from './mixer-pieces';
import { preNorm, sandwich } from '../../modules/wiring-names';

const lfmFeedforward = {
  wiring: preNorm('ffn_norm'),
  gateUp: ['feed_forward.w1', 'feed_forward.w3'],
  down: 'feed_forward.w2',
} as const;

const lfm = {
  ...base,
  embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'embedding_norm' },
  attention: {
    ...base.attention,
    wiring: preNorm('operator_norm'),
    queryKeyNorms: queryKeyLayernorms,
    output: 'self_attn.out_proj',
  },
  feedforward: lfmFeedforward,
  mixer: {
    wiring: preNorm('operator_norm'),
    module: 'conv',
    form: (config: ModelConfig) => ({
      kind: 'short-convolution' as const,
      kernel: optionalNumber(config, 'conv_L_cache', 3),
      bias: config['conv_bias'] === true,
    }),
  },
} as const;

const lfmDefaults = {
  num_key_value_heads: 8,
  norm_eps: 1e-5,
  max_position_embeddings: 128_000,
  rope_theta: 1_000_000,
  tie_word_embeddings: true,
};

const experts: ExpertNames = {
  modules: ['feed_forward'],
  router: 'gate',
  choiceBias: 'expert_bias',
  gateUp: ['w1', 'w3'],
  down: 'w2',
  inner: ({ moe_intermediate_size: inner }) => inner,
  routing: (config) => ({
    score: 'sigmoid',
    normalized: config.norm_topk_prob,
    shareScale: config.routed_scaling_factor,
  }),
  isSparse: (config, block) => block >= optionalNumber(config, 'num_dense_layers', 2),
  sparseFields: (sparse) => ({ num_dense_layers: sparse.filter((is) => !is).length }),
};

/** Attention blocks of LFM2, if config.json lists their numbers instead of types. */
function lfmLayerType({ full_attn_idxs: full }: ConfigFields, block: number): string {
  return !Array.isArray(full) || full.includes(block) ? 'full_attention' : 'conv';
}

/** LFM2 reduces the MLP width below the configured one, unless config.json disables that. */
function lfmWidth(config: ConfigFields): ConfigFields {
  const wide = config['block_ff_dim'] ?? config['intermediate_size'] ?? 12_288;
  if (config['block_auto_adjust_ff_dim'] === false) {
    return { intermediate_size: wide };
  }
  const scale = optionalNumber(config, 'block_ffn_dim_multiplier', 1);
  const step = optionalNumber(config, 'block_multiple_of', 256);
  const narrow = Math.trunc(scale * Math.trunc((2 * Number(wide)) / 3));
  return { intermediate_size: step * Math.ceil(narrow / step) };
}

/** LFM3 and later: full attention in every fourth block, and sliding-window attention in the first of the next four. */
function lfm3LayerType(_: ConfigFields, block: number): string {
  if (block % 4 === 2) return 'full_attention';
  return block % 4 === 0 && block > 0 ? 'sliding_attention' : 'conv';
}

const operatorSandwich = { wiring: sandwich('operator_norm', 'post_operator_norm') };

/** Families with short convolutions (LFM2, arXiv 2511.23404). */
export const shortConvolutionFamilies: readonly Architecture[] = [
  derive(lfm, 'lfm2', {
    names: { rms_norm_eps: 'norm_eps' },
    defaults: lfmDefaults,
    lists: { layer_types: lfmLayerType },
    computed: lfmWidth,
    parts: mixedByType(),
  }),
  derive(lfm, named('lfm2_moe', 'Lfm2Moe'), {
    names: { rms_norm_eps: 'norm_eps' },
    defaults: {
      ...lfmDefaults,
      num_experts: 32,
      num_experts_per_tok: 4,
      moe_intermediate_size: 1792,
      norm_topk_prob: true,
      num_dense_layers: 2,
    },
    only: () => ({ use_expert_bias: true }),
    experts,
    parts: mixedByType(experts),
  }),
  derive(lfm, 'lfm3', {
    // Gates of attention are g_proj in transformers.
    moduleNames: {},
    names: { rms_norm_eps: 'norm_eps' },
    defaults: {
      ...lfmDefaults,
      num_key_value_heads: 4,
      head_dim: 128,
      conv_L_cache: 7,
      sliding_window: 256,
      rope_parameters: {
        sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
        full_attention: {
          rope_type: 'proportional',
          partial_rotary_factor: 0.5,
          rope_theta: 1_000_000,
        },
      },
    },
    lists: { layer_types: lfm3LayerType },
    only: () => ({ use_sandwich_norm: true, use_attention_gate: true }),
    attention: {
      ...lfm.attention,
      ...operatorSandwich,
      queryKeyNorms,
      output: base.attention.output,
      parts: { gate: { name: 'self_attn.gate_proj', byHead: true } },
    },
    mixer: { ...lfm.mixer, ...operatorSandwich },
    feedforward: { ...lfmFeedforward, wiring: sandwich('ffn_norm', 'post_ffn_norm') },
    parts: mixedByType(),
    biases: attentionBiases,
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
  }),
];
