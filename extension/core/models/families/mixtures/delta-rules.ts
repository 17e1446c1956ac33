import type { Architecture, ExpertNames, MixerNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import type { DeltaNames, DeltaRule } from '../../parts/mixers/delta-rule';
import { say } from '../../../message';
import { experts, latentAttention } from './deepseek-like';
import { sharedQwenExperts } from './experts';
import { mixedByType } from './mixer-pieces';
import {
  optionalNumber,
  attention,
  attentionBiases,
  base,
  feedforward,
  queryKeyNorms,
} from '../shared-parts';
import { outputNorm } from '../../modules/wiring-names';

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
    keyHeads: optionalNumber(config, 'linear_num_key_heads', 16),
    valueHeads: optionalNumber(config, 'linear_num_value_heads', 32),
    keyDim: optionalNumber(config, 'linear_key_head_dim', 128),
    valueDim: optionalNumber(config, 'linear_value_head_dim', 128),
    kernel: optionalNumber(config, 'linear_conv_kernel_dim', 4),
    activation: config.hidden_act,
    names,
  });

const qwenMixer = (names: DeltaNames): MixerNames => ({
  wiring: attention.wiring,
  module: 'linear_attn',
  form: deltaForm(names),
});

const everyNthAttends = (config: ConfigFields, block: number): string =>
  (block + 1) % optionalNumber(config, 'full_attention_interval', 4) === 0
    ? 'full_attention'
    : 'linear_attention';

const allSparse: ExpertNames = { ...sharedQwenExperts, isSparse: () => true };

const qwen = {
  ...base,
  norm: 'rms-offset',
  attention: { ...attention, queryKeyNorms, parts: { gateInQuery: {} } },
  biases: attentionBiases,
} as const;

const qwenDefaults = {
  head_dim: 256,
  max_position_embeddings: 32_768,
  partial_rotary_factor: 0.25,
};

const threeNames = ['q', 'k', 'v'] as const;

const olmoNames: DeltaNames = {
  inputs: 'separate',
  queryKeyValue: threeNames.map((name) => `${name}_proj`),
  gate: ['g_proj'],
  rate: 'b_proj',
  decay: ['a_proj'],
  convolutions: threeNames.map((name) => `${name}_conv1d`),
  norm: 'o_norm',
  output: 'o_proj',
};

/** Sizes default to those of attention. */
function olmoForm(config: ModelConfig): DeltaRule {
  const { num_attention_heads: heads, hidden_size: hidden } = config;
  const keyHeads = optionalNumber(config, 'linear_num_key_heads', heads);
  const keyDim = optionalNumber(
    config,
    'linear_key_head_dim',
    Math.trunc((0.75 * hidden) / keyHeads),
  );
  return {
    ...deltaForm(olmoNames)(config),
    keyHeads,
    valueHeads: optionalNumber(config, 'linear_num_value_heads', heads),
    keyDim,
    valueDim: optionalNumber(config, 'linear_value_head_dim', 2 * keyDim),
    epsilon: 1e-5,
    ...(config['linear_allow_neg_eigval'] === false ? {} : { rateScale: 2 }),
  };
}

const kimiNames: DeltaNames = {
  inputs: 'separate',
  queryKeyValue: threeNames.map((name) => `${name}_proj`),
  gate: ['g_a_proj', 'g_b_proj'],
  gateActivation: 'sigmoid',
  rate: 'b_proj',
  decay: ['f_a_proj', 'f_b_proj'],
  convolutions: threeNames.map((name) => `${name}_conv1d`),
  norm: 'o_norm',
  output: 'o_proj',
};

function kimiForm(config: ModelConfig): DeltaRule {
  const heads = optionalNumber(config, 'linear_num_heads', 32);
  const size = optionalNumber(config, 'linear_head_dim', 128);
  return {
    ...deltaForm(kimiNames)(config),
    ...{ keyHeads: heads, valueHeads: heads, keyDim: size, valueDim: size },
  };
}

/** Linear-attention settings in published folders of Kimi Linear. Blocks are numbered from 1. */
interface KimiMixers {
  readonly full_attn_layers?: readonly number[];
  readonly kda_layers?: readonly number[];
  readonly head_dim?: number;
  readonly num_heads?: number;
  readonly short_conv_kernel_size?: number;
}

const kimiMixers = ({ linear_attn_config: mixers }: ConfigFields): KimiMixers => mixers ?? {};

const kimiExperts: ExpertNames = { ...experts, gateUp: ['w1', 'w3'], down: 'w2' };

function kimiSizes(config: ConfigFields): ConfigFields {
  const { head_dim: keyDim, num_heads: heads, short_conv_kernel_size: kernel } = kimiMixers(config);
  const { num_attention_heads: attentionHeads, qk_rope_head_dim: turned = 64 } = config;
  return {
    num_key_value_heads: attentionHeads,
    head_dim: turned,
    ...(keyDim === undefined ? {} : { linear_head_dim: keyDim }),
    ...(heads === undefined ? {} : { linear_num_heads: heads }),
    ...(kernel === undefined ? {} : { linear_conv_kernel_dim: kernel }),
  };
}

function kimiLayerType(config: ConfigFields, block: number): string {
  const { full_attn_layers: full } = kimiMixers(config);
  const attends = full === undefined ? block > 0 && block % 4 === 0 : full.includes(block + 1);
  return attends ? 'full_attention' : 'linear_attention';
}

function kimiPruned(config: ConfigFields, blocks: readonly number[]): ConfigFields {
  const { linear_attn_config: mixers } = config;
  if (mixers === undefined || mixers === null) {
    return {};
  }
  const renumbered = (list: readonly number[] = []): number[] =>
    blocks.flatMap((source, block) => (list.includes(source + 1) ? [block + 1] : []));
  const { full_attn_layers: full, kda_layers: mixed } = kimiMixers(config);
  return {
    linear_attn_config: {
      ...mixers,
      full_attn_layers: renumbered(full),
      kda_layers: renumbered(mixed),
    },
  };
}

/** Families with the gated delta rule (arXiv 2412.06464) in most blocks. */
export const deltaRuleFamilies: readonly Architecture[] = [
  derive(qwen, named('qwen3_next', 'Qwen3Next'), {
    defaults: {
      ...qwenDefaults,
      num_key_value_heads: 2,
      num_experts: 512,
      num_experts_per_tok: 10,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 512,
      norm_topk_prob: true,
    },
    lists: { layer_types: everyNthAttends },
    mixer: qwenMixer(byHead),
    experts: sharedQwenExperts,
    parts: mixedByType(sharedQwenExperts),
  }),
  derive(qwen, 'qwen3_5_text', {
    classes: { config: 'Qwen3_5TextConfig', model: 'Qwen3_5ForCausalLM' },
    defaults: { ...qwenDefaults, num_key_value_heads: 4 },
    lists: { layer_types: everyNthAttends },
    mixer: qwenMixer(separate),
    parts: mixedByType(),
  }),
  derive(qwen, 'qwen3_5_moe_text', {
    classes: { config: 'Qwen3_5MoeTextConfig', model: 'Qwen3_5MoeForCausalLM' },
    defaults: {
      ...qwenDefaults,
      num_key_value_heads: 2,
      num_experts: 256,
      num_experts_per_tok: 8,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 512,
      norm_topk_prob: true,
    },
    lists: { layer_types: everyNthAttends },
    computed: () => ({ intermediate_size: 1 }),
    mixer: qwenMixer(separate),
    experts: allSparse,
    parts: mixedByType(allSparse),
  }),
  derive(base, named('olmo_hybrid', 'OlmoHybrid'), {
    otherModules: say`olmo_hybrid models use one norm name for different places in their blocks.`,
    needsEachLayerType: true,
    defaults: { max_position_embeddings: 65_536 },
    lists: {
      layer_types: (_, block) => (block % 4 === 3 ? 'full_attention' : 'linear_attention'),
    },
    aliases: {
      input_layernorm: 'attention_layer_norm',
      post_attention_layernorm: 'feedforward_layer_norm',
    },
    attention: {
      queryKeyValue: attention.queryKeyValue,
      output: attention.output,
      wiring: outputNorm('post_attention_layernorm'),
      queryKeyNorms: { ...queryKeyNorms, over: 'projection' },
    },
    biases: attentionBiases,
    mixer: { wiring: attention.wiring, module: 'linear_attn', form: olmoForm },
    parts: mixedByType(),
    blockForm: ({ layer_types: types }, block) =>
      types?.[block] === 'full_attention'
        ? {
            feedforward: {
              gateUp: feedforward.gateUp,
              down: feedforward.down,
              wiring: outputNorm('post_feedforward_layernorm'),
            },
          }
        : {},
    form: ({ rope_parameters: rope, rope_theta: theta }) =>
      (rope?.rope_theta ?? theta) === undefined ? { rotary: 'none' } : {},
  }),
  derive({ ...base, ...latentAttention }, named('kimi_linear', 'KimiLinear'), {
    otherModules: say`transformers names the modules of kimi_linear models differently than their tensors.`,
    names: {
      max_position_embeddings: 'model_max_length',
      norm_topk_prob: 'moe_renormalize',
      n_group: 'num_expert_group',
      num_experts_per_tok: 'num_experts_per_token',
      n_shared_experts: 'num_shared_experts',
    },
    defaults: {
      rms_norm_eps: 1e-5,
      num_experts: 256,
      num_experts_per_tok: 8,
      moe_intermediate_size: 1024,
      routed_scaling_factor: 2.446,
      norm_topk_prob: true,
      n_shared_experts: 1,
      first_k_dense_replace: 1,
    },
    lists: { layer_types: kimiLayerType },
    computed: kimiSizes,
    pruned: kimiPruned,
    only: () => ({ num_expert_group: 1 }),
    aliases: { '.mlp.': '.block_sparse_moe.' },
    rotary: 'none',
    mixer: {
      wiring: attention.wiring,
      module: 'self_attn',
      form: kimiForm,
    },
    experts: kimiExperts,
    parts: mixedByType(kimiExperts),
  }),
];
