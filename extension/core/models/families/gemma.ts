import type { Architecture, Scales } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import type { ConfigFields, ConfigLayout, ModelConfig } from '../transformer/model-config';
import { preNorm, sandwich } from '../modules/wiring-names';
import {
  attention,
  attentionBiases,
  base,
  everyNthFull,
  feedforward,
  queryKeyNorms,
  windowedByType,
} from './shared-parts';

/** Norms before and after each branch, as in Gemma 2 (arXiv 2408.00118). */
export const gemmaSandwich = {
  attention: { ...attention, wiring: sandwich(attention.wiring.norm, 'post_attention_layernorm') },
  feedforward: {
    ...feedforward,
    wiring: sandwich('pre_feedforward_layernorm', 'post_feedforward_layernorm'),
  },
} as const;

const gemma2LayerType = (_: ConfigFields, block: number): string => everyNthFull(2, block);
function gemma3LayerType({ sliding_window_pattern: pattern }: ConfigFields, block: number): string {
  return everyNthFull(typeof pattern === 'number' ? pattern : 6, block);
}

export const gemmaDefaults = {
  head_dim: 256,
  hidden_act: 'gelu_pytorch_tanh',
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};
/** Defaults of Gemma 2 and 3. */
const windowedDefaults = {
  ...gemmaDefaults,
  num_key_value_heads: 4,
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
};
const oneDirection = { only: () => ({ use_bidirectional_attention: false }) };
const gemmaLayout = {
  // Published configs contain "gelu" for the tanh approximation.
  meant: { hidden_act: { gelu: 'gelu_pytorch_tanh' } },
};

/** config.json of Gemma 3. */
export const gemma3Config: ConfigLayout = {
  ...gemmaLayout,
  names: { hidden_act: 'hidden_activation' },
  lists: { layer_types: gemma3LayerType },
  defaults: () => ({
    ...windowedDefaults,
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000,
  }),
};

/** Blocks of Gemma 3. */
export const gemma3Blocks = {
  norm: 'rms-offset',
  attention: { ...gemmaSandwich.attention, queryKeyNorms },
  feedforward: gemmaSandwich.feedforward,
  biases: attentionBiases,
  rotary: 'by-layer-type',
  scales: gemmaScales,
} as const;

/** Fields of config.json of Gemma 2. */
const gemma2Fields = {
  names: { hidden_act: 'hidden_activation' },
  lists: { layer_types: gemma2LayerType },
  defaults: () => ({
    ...windowedDefaults,
    final_logit_softcapping: 30,
    attn_logit_softcapping: 50,
  }),
};

const gemma2: Architecture = {
  ...base,
  ...gemmaSandwich,
  modelType: 'gemma2',
  config: { ...gemmaLayout, ...oneDirection, ...gemma2Fields },
  norm: 'rms-offset',
  biases: attentionBiases,
  slidingWindow: windowedByType,
  scales: gemmaScales,
};

/** Gemma (arXiv 2403.08295), Gemma 2 (arXiv 2408.00118) and Gemma 3 (arXiv 2503.19786). */
export const gemmaFamilies: readonly Architecture[] = [
  derive(base, 'gemma', {
    ...gemmaLayout,
    ...oneDirection,
    defaults: { ...gemmaDefaults, num_key_value_heads: 16 },
    norm: 'rms-offset',
    biases: attentionBiases,
    scales: (config) => ({ embedding: Math.sqrt(config.hidden_size) }),
  }),
  gemma2,
  derive({ ...gemma2, config: gemma2Fields }, named('vaultgemma', 'VaultGemma'), {
    attention,
    feedforward: { ...feedforward, wiring: preNorm('pre_feedforward_layernorm') },
  }),
  derive({ ...base, ...gemma3Blocks }, 'gemma3_text', {
    classes: { config: 'Gemma3TextConfig', model: 'Gemma3ForCausalLM' },
    ...gemma3Config,
    ...oneDirection,
    slidingWindow: windowedByType,
  }),
];

type ScaleFields = Pick<
  ModelConfig,
  'hidden_size' | 'query_pre_attn_scalar' | 'attn_logit_softcapping' | 'final_logit_softcapping'
>;

function gemmaScales(config: ScaleFields): Partial<Scales> {
  return {
    embedding: Math.sqrt(config.hidden_size),
    attention: (config.query_pre_attn_scalar ?? 256) ** -0.5,
    attentionSoftCap: config.attn_logit_softcapping ?? undefined,
    logitSoftCap: config.final_logit_softcapping ?? undefined,
  };
}
