import type { ModelConfig } from '../transformer/model-config';
import type { GgufFamily, GgufSource } from './gguf-traits';
import { clampKey } from './gguf-fields';

const activationKey = 'hidden_activation';

/**
 * Activations that llama.cpp computes as tanh GELU from a lookup table, regardless of the variant
 * used in training.
 */
export const gelus = ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];

/** The file tells which GELU variant is used. */
export const gelu = { activations: gelus, fields: { hidden_act: activationKey } } as const;

const alibiKey = 'attention.max_alibi_bias';
/** Exponent of the smallest slope. */
const alibiBias = 8;

/** Scores are divided by the root of a head's width alone. */
const plainScores = { scale_attn_weights: true, scale_attn_by_inverse_layer_idx: false };

const untied = { tie_word_embeddings: false };

/** llama.cpp takes the heads of these to be as wide as the stream. */
const fullWidth = ({ hidden_size: hidden, num_attention_heads: heads }: ModelConfig) => ({
  head_dim: hidden / heads,
});

/** True if block 0 has the tensor `name`. */
const has = ({ tensors }: GgufSource, name: string): boolean => tensors.has(`blk.0.${name}`);

/** MPT's attention fields, nested as in its config.json. */
const describeMpt = (source: GgufSource): Readonly<Record<string, unknown>> => {
  const bias = source.keys.numberIfPresent(alibiKey) ?? 0;
  return {
    attn_config: {
      alibi: bias > 0,
      alibi_bias_max: bias,
      clip_qkv: source.keys.numberIfPresent(clampKey),
      qk_ln: has(source, 'attn_q_norm.weight'),
    },
    no_bias: !has(source, 'attn_qkv.bias'),
  };
};

/** Families with layer norms, or with MLPs that nothing gates, by `general.architecture`. */
export const layerNormFamilies: Readonly<Record<string, GgufFamily>> = {
  gpt2: { modelType: 'gpt2', ...gelu, demands: () => plainScores },
  gptneox: {
    modelType: 'gpt_neox',
    ...gelu,
    fields: { ...gelu.fields, use_parallel_residual: 'use_parallel_residual' },
    readsFactors: false,
    demands: () => ({ ...untied, attention_bias: true }),
  },
  phi2: {
    modelType: 'phi',
    ...gelu,
    readsFactors: false,
    demands: () => ({ ...untied, qk_layernorm: false }),
  },
  falcon: {
    modelType: 'falcon',
    ...gelu,
    // Attention's own norm, if it has one (src/models/falcon.cpp).
    names: { 'attention.wiring.norm': 'attn_norm_2', 'feedforward.wiring.norm': 'attn_norm' },
    readsFactors: false,
    demands: () => ({ alibi: false, bias: false, parallel_attn: true }),
    describe: (source) => {
      const hasOwnNorms = has(source, 'attn_norm_2.weight');
      return {
        parallel_attn: true,
        new_decoder_architecture: hasOwnNorms,
        num_ln_in_parallel_attn: hasOwnNorms ? 2 : 1,
      };
    },
  },
  bloom: { modelType: 'bloom', ...gelu },
  mpt: {
    modelType: 'mpt',
    ...gelu,
    fields: { ...gelu.fields, clip_qkv: clampKey },
    header: () => ({ [alibiKey]: alibiBias }),
    describe: describeMpt,
  },
  starcoder: {
    modelType: 'gpt_bigcode',
    ...gelu,
    demands: () => plainScores,
    describe: ({ sizes }) => ({ multi_query: sizes.keyValueHeads === 1 }),
  },
  nemotron: {
    modelType: 'nemotron',
    readsFactors: false,
    demands: (config) => ({ ...untied, ...fullWidth(config) }),
  },
  jais2: {
    modelType: 'jais2',
    takesFewerHeads: true,
    readsFactors: false,
    demands: () => ({ ...untied, attention_bias: true, mlp_bias: true }),
  },
  olmo: {
    modelType: 'olmo',
    interleaved: true,
    fields: { clip_qkv: clampKey },
    readsFactors: false,
    demands: () => ({ attention_bias: false }),
  },
  exaone: { modelType: 'exaone', takesFewerHeads: true, demands: () => ({ mlp_bias: false }) },
  bitnet: {
    modelType: 'bitnet',
    activations: ['silu'],
    readsFactors: false,
    demands: () => ({ tie_word_embeddings: true, attention_bias: false }),
    describe: ({ keys }) => ({ hidden_act: keys.textIfPresent(activationKey) ?? 'silu' }),
  },
  chatglm: { modelType: 'glm', readsFactors: false, demands: fullWidth },
};
