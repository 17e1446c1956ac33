import type { Architecture } from '../transformer/architecture';
import { derive } from '../transformer/derive';
import type { ModelConfig } from '../transformer/model-config';
import { outputNorm, sandwich } from '../modules/wiring-names';
import {
  attention,
  attentionBiases,
  base,
  everyNthFull,
  feedforward,
  fusedGateUpMlp,
  queryKeyNorms,
  queryKeyValueBiases,
  windowedByType,
} from './shared-parts';

/** Norms on the outputs of branches only. */
const postNorms = {
  attention: {
    queryKeyValue: attention.queryKeyValue,
    output: attention.output,
    wiring: outputNorm('post_attention_layernorm'),
  },
  feedforward: {
    gateUp: feedforward.gateUp,
    down: feedforward.down,
    wiring: outputNorm('post_feedforward_layernorm'),
  },
} as const;

export const olmo2 = {
  ...base,
  ...postNorms,
  modelType: 'olmo2',
  config: { defaults: () => ({ rms_norm_eps: 1e-5 }) },
  attention: { ...postNorms.attention, queryKeyNorms: { ...queryKeyNorms, over: 'projection' } },
  biases: attentionBiases,
} as const satisfies Architecture;

const olmoTheta = 500_000;

export const glm: Architecture = {
  ...base,
  modelType: 'glm',
  config: {
    defaults: () => ({
      num_key_value_heads: 2,
      head_dim: 128,
      attention_bias: true,
      partial_rotary_factor: 0.5,
      max_position_embeddings: 131_072,
      rms_norm_eps: 1.5625e-7,
    }),
  },
  feedforward: fusedGateUpMlp,
  biases: queryKeyValueBiases,
  interleavedRotary: true,
};

export const glm4: Architecture = {
  ...glm,
  modelType: 'glm4',
  attention: {
    ...attention,
    wiring: sandwich(attention.wiring.norm, 'post_self_attn_layernorm'),
  },
  feedforward: {
    ...fusedGateUpMlp,
    wiring: sandwich(fusedGateUpMlp.wiring.norm, 'post_mlp_layernorm'),
  },
};

/** OLMo 2 (arXiv 2501.00656) and other families that normalize the output of each branch. */
export const postNormFamilies: readonly Architecture[] = [
  olmo2,
  derive(olmo2, 'olmo3', {
    defaults: { rms_norm_eps: 1e-5, sliding_window: 4096 },
    lists: { layer_types: (_, block) => everyNthFull(4, block) },
    // As published: what scales is of blocks without a window.
    computed: ({ rope_parameters: given, rope_scaling: scaling, rope_theta: theta }) =>
      given === undefined || given === null
        ? {
            rope_parameters: {
              full_attention: { rope_theta: theta ?? olmoTheta, ...(scaling as object | null) },
              sliding_attention: { rope_theta: olmoTheta },
            },
          }
        : {},
    rotary: 'by-layer-type',
    slidingWindow: windowedByType,
  }),
  derive({ ...base, ...postNorms }, 'exaone4', {
    defaults: { rms_norm_eps: 1e-5, sliding_window: 4096 },
    lists: {
      layer_types: ({ sliding_window: window, sliding_window_pattern: every }, block) =>
        typeof window === 'number' && typeof every === 'number'
          ? everyNthFull(every, block)
          : 'full_attention',
    },
    attention: { ...postNorms.attention, queryKeyNorms },
    turns: isWindowedIfAny,
    slidingWindow: windowedByType,
  }),
  glm4,
];

/** In models with sliding windows, only windowed blocks have rotary embeddings. */
export function isWindowedIfAny(config: ModelConfig, block: number): boolean {
  return (
    typeof config.sliding_window !== 'number' || config.layer_types?.[block] === 'sliding_attention'
  );
}
