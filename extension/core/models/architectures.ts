import type { Architecture, Biases, ConfigFields, OuterNames, Scales } from './architecture';
import type { ModelConfig } from './model-config';

const outer: OuterNames = {
  prefixes: ['model.', ''],
  embedding: 'embed_tokens',
  finalNorm: 'norm',
  blocks: 'layers',
};

const attention = {
  norm: 'input_layernorm',
  queryKeyValue: {
    kind: 'separate',
    names: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  },
  output: 'self_attn.o_proj',
} as const;

const queryKeyNorms = { query: 'self_attn.q_norm', key: 'self_attn.k_norm', over: 'head' } as const;

const feedforward = {
  norm: 'post_attention_layernorm',
  gateUp: { kind: 'separate', names: ['mlp.gate_proj', 'mlp.up_proj'] },
  down: 'mlp.down_proj',
} as const;

/** Norms before and after each branch, as in Gemma 2 (arXiv 2408.00118). */
const sandwich = {
  attention: { ...attention, postNorm: 'post_attention_layernorm' },
  feedforward: {
    ...feedforward,
    norm: 'pre_feedforward_layernorm',
    postNorm: 'post_feedforward_layernorm',
  },
} as const;

const allBiases = (bias: boolean): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: bias,
});
const noBiases = (): Biases => allBiases(false);
const attentionBiases = ({ attention_bias: bias }: ModelConfig): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: false,
});
const configuredBiases = (config: ModelConfig): Biases => ({
  ...attentionBiases(config),
  feedforward: config.mlp_bias,
});

const nowhere = (): undefined => undefined;
const everywhere = (config: ModelConfig): number | undefined => config.sliding_window ?? undefined;

/** `layer_types` where given; before it existed, blocks from `max_window_layers` on were windowed. */
function windowedLayers(config: ModelConfig, block: number): number | undefined {
  if (config.use_sliding_window !== true) {
    return undefined;
  }
  const windowed =
    config.layer_types?.[block] !== undefined
      ? config.layer_types[block] === 'sliding_attention'
      : block >= (config.max_window_layers ?? 28);
  return windowed ? (config.sliding_window ?? undefined) : undefined;
}

/** Every block but each `pattern`-th is windowed. */
function everyNthFull(pattern: number, block: number): string {
  return (block + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention';
}

const gemma2LayerType = (_: ConfigFields, block: number): string => everyNthFull(2, block);
function gemma3LayerType({ sliding_window_pattern: pattern }: ConfigFields, block: number): string {
  return everyNthFull(typeof pattern === 'number' ? pattern : 6, block);
}

const windowedBy =
  (defaultLayerType: (config: ConfigFields, block: number) => string) =>
  (config: ModelConfig, block: number): number | undefined =>
    (config.layer_types?.[block] ?? defaultLayerType(config, block)) === 'sliding_attention'
      ? (config.sliding_window ?? undefined)
      : undefined;

const gemmaDefaults = {
  head_dim: 256,
  hidden_act: 'gelu_pytorch_tanh',
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};
const gemmaDialect = {
  only: () => ({ use_bidirectional_attention: false }),
  // Published configs say "gelu" where the tanh approximation is meant.
  meant: { hidden_act: { gelu: 'gelu_pytorch_tanh' } },
};

/** Families alike but for names and numbers; the others add to it. */
const base = {
  outer,
  norm: 'rms',
  attention,
  feedforward,
  biases: noBiases,
  rotary: 'shared',
  slidingWindow: nowhere,
} as const;

/** Every family that a Hugging Face folder can be opened as. */
export const architectures: readonly Architecture[] = [
  { ...base, modelType: 'llama', biases: configuredBiases },
  {
    ...base,
    modelType: 'mistral',
    config: { defaults: () => ({ num_key_value_heads: 8 }) },
    slidingWindow: everywhere,
  },
  {
    ...base,
    modelType: 'qwen2',
    config: { defaults: () => ({ num_key_value_heads: 32 }) },
    biases: () => ({ ...noBiases(), queryKeyValue: true }),
    slidingWindow: windowedLayers,
  },
  {
    ...base,
    modelType: 'qwen3',
    config: { defaults: () => ({ num_key_value_heads: 32, head_dim: 128 }) },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    slidingWindow: windowedLayers,
  },
  {
    ...base,
    modelType: 'phi3',
    attention: { ...attention, queryKeyValue: { kind: 'fused', name: 'self_attn.qkv_proj' } },
    feedforward: { ...feedforward, gateUp: { kind: 'fused', name: 'mlp.gate_up_proj' } },
    slidingWindow: everywhere,
  },
  {
    ...base,
    modelType: 'gemma',
    config: {
      ...gemmaDialect,
      defaults: () => ({ ...gemmaDefaults, num_key_value_heads: 16 }),
    },
    norm: 'rms-offset',
    biases: attentionBiases,
    scales: (config) => ({ embedding: Math.sqrt(config.hidden_size) }),
  },
  {
    ...base,
    ...sandwich,
    modelType: 'gemma2',
    config: {
      ...gemmaDialect,
      names: { hidden_act: 'hidden_activation' },
      defaults: () => ({
        ...gemmaDefaults,
        num_key_value_heads: 4,
        query_pre_attn_scalar: 256,
        sliding_window: 4096,
        final_logit_softcapping: 30,
        attn_logit_softcapping: 50,
      }),
    },
    norm: 'rms-offset',
    biases: attentionBiases,
    defaultLayerType: gemma2LayerType,
    slidingWindow: windowedBy(gemma2LayerType),
    scales: gemmaScales,
  },
  {
    ...base,
    ...sandwich,
    modelType: 'gemma3_text',
    classes: { config: 'Gemma3TextConfig', model: 'Gemma3ForCausalLM' },
    config: {
      ...gemmaDialect,
      names: { hidden_act: 'hidden_activation' },
      defaults: () => ({
        ...gemmaDefaults,
        max_position_embeddings: 131_072,
        num_key_value_heads: 4,
        query_pre_attn_scalar: 256,
        sliding_window: 4096,
        rope_theta: 1_000_000,
      }),
    },
    norm: 'rms-offset',
    attention: { ...sandwich.attention, queryKeyNorms },
    biases: attentionBiases,
    rotary: 'by-layer-type',
    defaultLayerType: gemma3LayerType,
    slidingWindow: windowedBy(gemma3LayerType),
    scales: gemmaScales,
  },
  {
    ...base,
    modelType: 'granite',
    biases: configuredBiases,
    scales: (config) => ({
      embedding: config.embedding_multiplier,
      residual: config.residual_multiplier,
      attention: config.attention_multiplier,
      logits: 1 / config.logits_scaling,
    }),
  },
  {
    ...base,
    modelType: 'olmo2',
    config: { defaults: () => ({ rms_norm_eps: 1e-5 }) },
    attention: {
      queryKeyValue: attention.queryKeyValue,
      output: attention.output,
      queryKeyNorms: { ...queryKeyNorms, over: 'projection' },
      postNorm: 'post_attention_layernorm',
    },
    feedforward: {
      gateUp: feedforward.gateUp,
      down: feedforward.down,
      postNorm: 'post_feedforward_layernorm',
    },
    biases: attentionBiases,
  },
  {
    ...base,
    modelType: 'starcoder2',
    config: {
      names: { rms_norm_eps: 'norm_epsilon' },
      defaults: () => ({
        num_key_value_heads: 2,
        hidden_act: 'gelu_pytorch_tanh',
        rms_norm_eps: 1e-5,
        max_position_embeddings: 4096,
        tie_word_embeddings: true,
      }),
    },
    norm: 'layer',
    feedforward: {
      norm: feedforward.norm,
      gateUp: { kind: 'separate', names: ['mlp.c_fc'] },
      down: 'mlp.c_proj',
    },
    biases: (config) => allBiases(config.use_bias),
    slidingWindow: everywhere,
  },
  {
    ...base,
    modelType: 'stablelm',
    classes: { config: 'StableLmConfig', model: 'StableLmForCausalLM' },
    config: {
      names: { rms_norm_eps: 'layer_norm_eps' },
      defaults: () => ({
        num_key_value_heads: 32,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 4096,
        partial_rotary_factor: 0.25,
      }),
      only: () => ({ use_parallel_residual: false, qk_layernorm: false }),
    },
    norm: 'layer',
    biases: (config) => ({ ...noBiases(), queryKeyValue: config.use_qkv_bias }),
  },
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

/** The family of a `model_type`. */
export function knownArchitecture(modelType: string): Architecture | undefined {
  return architectures.find((known) => known.modelType === modelType);
}

function gemmaScales(config: ModelConfig): Partial<Scales> {
  return {
    embedding: Math.sqrt(config.hidden_size),
    attention: (config.query_pre_attn_scalar ?? 256) ** -0.5,
    attentionSoftCap: config.attn_logit_softcapping ?? undefined,
    logitSoftCap: config.final_logit_softcapping ?? undefined,
  };
}
