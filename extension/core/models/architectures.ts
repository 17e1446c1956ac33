import type { ModelConfig } from './model-config';

/** Tensor names of one linear layer's weight, or of several that one matrix holds. */
type Projection =
  | { readonly kind: 'separate'; readonly names: readonly string[] }
  | { readonly kind: 'fused'; readonly name: string };

/** Which linear layers have a bias. */
export interface Biases {
  readonly queryKeyValue: boolean;
  readonly attentionOutput: boolean;
  readonly feedforward: boolean;
}

/**
 * How a family of models differs from the others. All are decoder-only: token embedding, blocks of
 * pre-norm attention and gated feed-forward, final norm, head. Names are below the block's prefix.
 */
export interface Architecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  readonly attention: {
    readonly norm: string;
    /** Query, key and value. */
    readonly queryKeyValue: Projection;
    readonly output: string;
    /** RMS norms over each head's dimensions, before the rotary embedding. */
    readonly headNorms?: { readonly query: string; readonly key: string };
  };
  readonly feedforward: {
    readonly norm: string;
    /** Gate and up. */
    readonly gateUp: Projection;
    readonly down: string;
  };
  /** Values that the family's configuration class takes where config.json is silent. */
  readonly defaults?: { readonly numKeyValueHeads?: number; readonly headDim?: number };
  readonly biases: (config: ModelConfig) => Biases;
  /** Number of past positions that a block's attention sees (itself included), or all. */
  readonly slidingWindow: (config: ModelConfig, block: number) => number | undefined;
}

const separateAttention = {
  norm: 'input_layernorm',
  queryKeyValue: {
    kind: 'separate',
    names: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  },
  output: 'self_attn.o_proj',
} as const;

const separateFeedforward = {
  norm: 'post_attention_layernorm',
  gateUp: { kind: 'separate', names: ['mlp.gate_proj', 'mlp.up_proj'] },
  down: 'mlp.down_proj',
} as const;

const noBiases = { queryKeyValue: false, attentionOutput: false, feedforward: false };
const configuredBiases = (config: ModelConfig): Biases => ({
  queryKeyValue: config.attention_bias,
  attentionOutput: config.attention_bias,
  feedforward: config.mlp_bias,
});
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

/** Every family that a Hugging Face folder can be opened as. */
export const architectures: readonly Architecture[] = [
  {
    modelType: 'llama',
    attention: separateAttention,
    feedforward: separateFeedforward,
    biases: configuredBiases,
    slidingWindow: () => undefined,
  },
  {
    modelType: 'mistral',
    defaults: { numKeyValueHeads: 8 },
    attention: separateAttention,
    feedforward: separateFeedforward,
    biases: () => noBiases,
    slidingWindow: everywhere,
  },
  {
    modelType: 'qwen2',
    defaults: { numKeyValueHeads: 32 },
    attention: separateAttention,
    feedforward: separateFeedforward,
    biases: () => ({ ...noBiases, queryKeyValue: true }),
    slidingWindow: windowedLayers,
  },
  {
    modelType: 'qwen3',
    defaults: { numKeyValueHeads: 32, headDim: 128 },
    attention: {
      ...separateAttention,
      headNorms: { query: 'self_attn.q_norm', key: 'self_attn.k_norm' },
    },
    feedforward: separateFeedforward,
    biases: (config) => ({ ...configuredBiases(config), feedforward: false }),
    slidingWindow: windowedLayers,
  },
  {
    modelType: 'phi3',
    attention: {
      ...separateAttention,
      queryKeyValue: { kind: 'fused', name: 'self_attn.qkv_proj' },
    },
    feedforward: {
      ...separateFeedforward,
      gateUp: { kind: 'fused', name: 'mlp.gate_up_proj' },
    },
    biases: () => noBiases,
    slidingWindow: everywhere,
  },
];
