import type { Biases, OuterNames } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';

const outer: OuterNames = {
  prefixes: ['model.', ''],
  embedding: 'embed_tokens',
  finalNorm: 'norm',
  blocks: 'layers',
};

export const attention = {
  norm: 'input_layernorm',
  queryKeyValue: {
    kind: 'separate',
    names: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  },
  output: 'self_attn.o_proj',
} as const;

export const queryKeyNorms = {
  query: 'self_attn.q_norm',
  key: 'self_attn.k_norm',
  over: 'head',
} as const;

export const feedforward = {
  norm: 'post_attention_layernorm',
  gateUp: { kind: 'separate', names: ['mlp.gate_proj', 'mlp.up_proj'] },
  down: 'mlp.down_proj',
} as const;

export const allBiases = (bias: boolean): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: bias,
});
export const noBiases = (): Biases => allBiases(false);
export const attentionBiases = ({ attention_bias: bias }: ModelConfig): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: false,
});
export const configuredBiases = (config: ModelConfig): Biases => ({
  ...attentionBiases(config),
  feedforward: config.mlp_bias,
});

const nowhere = (): undefined => undefined;
export const everywhere = (config: ModelConfig): number | undefined =>
  config.sliding_window ?? undefined;

/** `layer_types` where given; before it existed, blocks from `max_window_layers` on were windowed. */
export function windowedLayers(config: ModelConfig, block: number): number | undefined {
  if (config.use_sliding_window !== true) {
    return undefined;
  }
  const windowed =
    config.layer_types?.[block] !== undefined
      ? config.layer_types[block] === 'sliding_attention'
      : block >= (config.max_window_layers ?? 28);
  return windowed ? (config.sliding_window ?? undefined) : undefined;
}

/** Families alike but for names and numbers; the others add to it. */
export const base = {
  outer,
  norm: 'rms',
  attention,
  feedforward,
  biases: noBiases,
  rotary: 'shared',
  slidingWindow: nowhere,
} as const;
