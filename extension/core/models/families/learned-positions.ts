import type { Architecture } from '../transformer/architecture';
import { allBiases, attention, base } from './pieces';

/** Families whose positions are learned and added to the embedding. */
export const learnedPositionFamilies: readonly Architecture[] = [
  {
    ...base,
    modelType: 'gpt2',
    classes: { config: 'GPT2Config', model: 'GPT2LMHeadModel' },
    config: {
      names: {
        hidden_size: 'n_embd',
        num_hidden_layers: 'n_layer',
        num_attention_heads: 'n_head',
        max_position_embeddings: 'n_positions',
        intermediate_size: 'n_inner',
        hidden_act: 'activation_function',
        rms_norm_eps: 'layer_norm_epsilon',
      },
      defaults: ({ hidden_size: hidden }) => ({
        max_position_embeddings: 1024,
        intermediate_size: typeof hidden === 'number' ? 4 * hidden : undefined,
        hidden_act: 'gelu_new',
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
      }),
      only: () => ({
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        add_cross_attention: false,
      }),
    },
    outer: {
      prefixes: ['transformer.', ''],
      embedding: 'wte',
      positions: { name: 'wpe', offset: 0 },
      finalNorm: 'ln_f',
      blocks: 'h',
    },
    norm: 'layer',
    transposed: true,
    attention: {
      norm: 'ln_1',
      queryKeyValue: { kind: 'fused', name: 'attn.c_attn' },
      output: 'attn.c_proj',
    },
    feedforward: {
      norm: 'ln_2',
      gateUp: { kind: 'separate', names: ['mlp.c_fc'] },
      down: 'mlp.c_proj',
    },
    biases: () => allBiases(true),
    rotary: 'none',
  },
  {
    ...base,
    modelType: 'opt',
    classes: { config: 'OPTConfig', model: 'OPTForCausalLM' },
    config: {
      names: { intermediate_size: 'ffn_dim', hidden_act: 'activation_function' },
      defaults: () => ({ hidden_act: 'relu', rms_norm_eps: 1e-5, tie_word_embeddings: true }),
      only: ({ hidden_size: hidden }) => ({
        do_layer_norm_before: true,
        _remove_final_layer_norm: false,
        layer_norm_elementwise_affine: true,
        word_embed_proj_dim: hidden,
      }),
    },
    outer: {
      prefixes: ['model.decoder.', 'decoder.'],
      embedding: 'embed_tokens',
      // Rows 0 and 1 belong to padding.
      positions: { name: 'embed_positions', offset: 2 },
      finalNorm: 'final_layer_norm',
      blocks: 'layers',
    },
    norm: 'layer',
    attention: {
      ...attention,
      norm: 'self_attn_layer_norm',
      output: 'self_attn.out_proj',
    },
    feedforward: {
      norm: 'final_layer_norm',
      gateUp: { kind: 'separate', names: ['fc1'] },
      down: 'fc2',
    },
    biases: (config) => allBiases(config.enable_bias),
    rotary: 'none',
  },
];
