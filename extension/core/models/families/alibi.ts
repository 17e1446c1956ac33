import type { Architecture } from '../transformer/architecture';
import { derive } from '../transformer/derive';
import type { ConfigFields } from '../transformer/model-config';
import { falconBranches } from './parallel';
import { alibiSlopes, allBiases, base, clipInConfig, fourTimesHidden } from './shared-parts';
import { preNorm } from '../modules/wiring-names';

/** Families with linear attention biases by distance (ALiBi, arXiv 2108.12409). */
export const alibiFamilies: readonly Architecture[] = [
  derive(base, 'bloom', {
    addsStreamInside: ['attention', 'feedforward'],
    names: {
      num_hidden_layers: 'n_layer',
      num_attention_heads: 'n_head',
      rms_norm_eps: 'layer_norm_epsilon',
    },
    defaults: (config) => ({
      hidden_act: 'gelu_pytorch_tanh',
      rms_norm_eps: 1e-5,
      intermediate_size: fourTimesHidden(config),
      tie_word_embeddings: true,
    }),
    only: () => ({ apply_residual_connection_post_layernorm: false }),
    embeddingAndHead: {
      prefixes: ['transformer.', ''],
      embedding: 'word_embeddings',
      embeddingNorm: 'word_embeddings_layernorm',
      finalNorm: 'ln_f',
      blocks: 'h',
    },
    norm: 'layer',
    ...falconBranches,
    biases: () => allBiases(true),
    rotary: 'none',
    slopes: ({ num_attention_heads: heads }) => alibiSlopes(heads),
  }),
  derive(base, 'mpt', {
    addsStreamInside: ['feedforward'],
    names: {
      hidden_size: 'd_model',
      num_hidden_layers: 'n_layers',
      num_attention_heads: 'n_heads',
      max_position_embeddings: 'max_seq_len',
      rms_norm_eps: 'layer_norm_epsilon',
    },
    defaults: (config) => ({
      hidden_act: 'gelu',
      rms_norm_eps: 1e-5,
      intermediate_size: fourTimesHidden(config),
      tie_word_embeddings: true,
    }),
    computed: mptAttention,
    only: () => ({
      'attn_config.alibi': true,
      'attn_config.qk_ln': false,
      'attn_config.softmax_scale': null,
      'attn_config.alibi_bias_max': 8,
      no_bias: true,
    }),
    embeddingAndHead: {
      prefixes: ['transformer.'],
      embedding: 'wte',
      finalNorm: 'norm_f',
      blocks: 'blocks',
    },
    norm: 'layer-without-bias',
    attention: {
      wiring: preNorm('norm_1'),
      queryKeyValue: { fused: 'attn.Wqkv' },
      output: 'attn.out_proj',
      parts: { clip: clipInConfig },
    },
    feedforward: {
      wiring: preNorm('norm_2'),
      gateUp: ['ffn.up_proj'],
      down: 'ffn.down_proj',
    },
    rotary: 'none',
    slopes: ({ num_attention_heads: heads }) => mptSlopes(heads),
  }),
];

/** MPT rounds the number of heads up to a power of 2, and takes every second slope of those first. */
function mptSlopes(heads: number): number[] {
  const all = alibiSlopes(2 ** Math.ceil(Math.log2(heads)));
  const odd = all.filter((_, i) => i % 2 === 1);
  const even = all.filter((_, i) => i % 2 === 0);
  return all.length === heads ? all : [...odd, ...even].slice(0, heads);
}

/** The nested fields of MPT's attention. */
function mptAttention({ attn_config: given }: ConfigFields): ConfigFields {
  const own = (given ?? {}) as ConfigFields;
  return {
    clip_qkv: own['clip_qkv'],
    'attn_config.alibi': own['alibi'],
    'attn_config.qk_ln': own['qk_ln'],
    'attn_config.softmax_scale': own['softmax_scale'],
    'attn_config.alibi_bias_max': own['alibi_bias_max'],
  };
}
