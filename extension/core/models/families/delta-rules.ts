import type { Architecture, ExpertNames, MixerNames } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/config-layout';
import type { ModelConfig } from '../transformer/model-config';
import type { DeltaNames, DeltaRule } from '../parts/mixers/delta-rule';
import { sharedQwenExperts } from './experts';
import { mixedByType, numberIn } from './mixer-pieces';
import { attention, attentionBiases, base, queryKeyNorms } from './pieces';

const byHead: DeltaNames = {
  inputs: 'by-head',
  queryKeyValueGate: 'in_proj_qkvz',
  rateDecay: 'in_proj_ba',
  convolution: 'conv1d',
  norm: 'norm',
  output: 'out_proj',
};

const separate: DeltaNames = {
  inputs: 'separate',
  queryKeyValue: ['in_proj_qkv'],
  gate: ['in_proj_z'],
  rate: 'in_proj_b',
  decay: ['in_proj_a'],
  convolutions: ['conv1d'],
  norm: 'norm',
  output: 'out_proj',
};

const deltaForm =
  (names: DeltaNames) =>
  (config: ModelConfig): DeltaRule => ({
    kind: 'delta-rule',
    keyHeads: numberIn(config, 'linear_num_key_heads', 16),
    valueHeads: numberIn(config, 'linear_num_value_heads', 32),
    keyDim: numberIn(config, 'linear_key_head_dim', 128),
    valueDim: numberIn(config, 'linear_value_head_dim', 128),
    kernel: numberIn(config, 'linear_conv_kernel_dim', 4),
    activation: config.hidden_act,
    names,
  });

const qwenMixer = (names: DeltaNames): MixerNames => ({
  norm: attention.norm,
  module: 'linear_attn',
  form: deltaForm(names),
});

const everyNthAttends = (config: ConfigFields, block: number): string =>
  (block + 1) % numberIn(config, 'full_attention_interval', 4) === 0
    ? 'full_attention'
    : 'linear_attention';

const allSparse: ExpertNames = { ...sharedQwenExperts, isSparse: () => true };

const qwen = {
  ...base,
  norm: 'rms-offset',
  attention: { ...attention, queryKeyNorms, gatesInQuery: true },
  biases: attentionBiases,
} as const;

const qwenDefaults = {
  head_dim: 256,
  max_position_embeddings: 32_768,
  partial_rotary_factor: 0.25,
};

/** Families with the gated delta rule (arXiv 2412.06464) in most blocks. */
export const deltaRuleFamilies: readonly Architecture[] = [
  {
    ...qwen,
    modelType: 'qwen3_next',
    classes: { config: 'Qwen3NextConfig', model: 'Qwen3NextForCausalLM' },
    config: {
      defaults: () => ({
        ...qwenDefaults,
        num_key_value_heads: 2,
        num_experts: 512,
        num_experts_per_tok: 10,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 512,
        norm_topk_prob: true,
      }),
      lists: { layer_types: everyNthAttends },
    },
    mixer: qwenMixer(byHead),
    experts: sharedQwenExperts,
    parts: mixedByType(sharedQwenExperts),
  },
  {
    ...qwen,
    modelType: 'qwen3_5_text',
    classes: { config: 'Qwen3_5TextConfig', model: 'Qwen3_5ForCausalLM' },
    config: {
      defaults: () => ({ ...qwenDefaults, num_key_value_heads: 4 }),
      lists: { layer_types: everyNthAttends },
    },
    mixer: qwenMixer(separate),
    parts: mixedByType(),
  },
  {
    ...qwen,
    modelType: 'qwen3_5_moe_text',
    classes: { config: 'Qwen3_5MoeTextConfig', model: 'Qwen3_5MoeForCausalLM' },
    config: {
      defaults: () => ({
        ...qwenDefaults,
        num_key_value_heads: 2,
        num_experts: 256,
        num_experts_per_tok: 8,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 512,
        norm_topk_prob: true,
      }),
      lists: { layer_types: everyNthAttends },
      computed: () => ({ intermediate_size: 1 }),
    },
    mixer: qwenMixer(separate),
    experts: allSparse,
    parts: mixedByType(allSparse),
  },
];
