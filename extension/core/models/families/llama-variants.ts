import type { Architecture } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import {
  allBiases,
  attention,
  attentionBiases,
  base,
  clipInConfig,
  configuredBiases,
  windowEverywhere,
  feedforward,
  graniteScales,
  queryGrowthFromRope,
  hunyuanAttention,
  noBiases,
  queryKeyNorms,
  ungatedMlp,
  windowedByType,
} from './shared-parts';
import { glm } from './post-norm';
import { latentAttention, ownKeys } from './mixtures/deepseek-like';
import { graniteSwa, graniteSwaLayout } from './mixtures/softmax-experts';
import { say } from '../../message';
import { preNorm, sandwich } from '../modules/wiring-names';

const apertus: Architecture = {
  ...base,
  modelType: 'apertus',
  config: {
    defaults: () => ({ hidden_act: 'xielu', rms_norm_eps: 1e-5, rope_theta: 12_000_000 }),
    only: () => ({ hidden_act: 'xielu' }),
  },
  attention: { ...attention, wiring: preNorm('attention_layernorm'), queryKeyNorms },
  feedforward: {
    ...ungatedMlp,
    wiring: preNorm('feedforward_layernorm'),
    parts: { xielu: 'mlp.act_fn' },
  },
  biases: attentionBiases,
};

/** Families of Llama's order of branches with other norms, activations or turns. */
export const llamaRelatives: readonly Architecture[] = [
  derive(base, named('diffllama', 'DiffLlama'), {
    dependsOnNumber: true,
    attention: {
      ...attention,
      parts: {
        difference: {
          factors: ['q1', 'k1', 'q2', 'k2'].map((name) => `self_attn.lambda_${name}`),
          start: (block) => 0.8 - 0.6 * Math.exp(-0.3 * block),
        },
      },
    },
    defaults: { rms_norm_eps: 1e-5 },
    biases: attentionBiases,
  }),
  derive(base, 'olmo', {
    computed: () => ({ rms_norm_eps: 1e-5 }),
    norm: 'layer-without-weight',
    biases: attentionBiases,
    attention: { ...attention, parts: { clip: clipInConfig } },
  }),
  derive(base, named('nanochat', 'NanoChat'), {
    defaults: {
      num_key_value_heads: 6,
      hidden_act: 'relu2',
      final_logit_softcapping: 15,
    },
    embeddingAndHead: { ...base.embeddingAndHead, embeddingNorm: 'norm' },
    norm: 'rms-without-weight',
    attention: {
      ...attention,
      queryKeyNorms: { ...queryKeyNorms, afterRotary: true },
    },
    feedforward: {
      wiring: preNorm('post_attention_layernorm'),
      gateUp: ['mlp.fc1'],
      down: 'mlp.fc2',
    },
    biases: attentionBiases,
    reversedRotary: true,
    scales: ({ final_logit_softcapping: cap }) => ({ logitSoftCap: cap ?? undefined }),
  }),
  derive(base, 'ministral3', {
    defaults: { num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5 },
    slidingWindow: windowEverywhere,
    queryGrowth: queryGrowthFromRope,
  }),
  derive(base, 'arcee', {
    defaults: { hidden_act: 'relu2', rms_norm_eps: 1e-5 },
    feedforward: ungatedMlp,
    biases: configuredBiases,
  }),
  derive(base, 'nemotron', {
    names: { rms_norm_eps: 'norm_eps' },
    defaults: {
      hidden_act: 'relu2',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      partial_rotary_factor: 0.5,
    },
    norm: 'layer-offset',
    feedforward: ungatedMlp,
    biases: configuredBiases,
  }),
  derive(base, 'jais2', {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      hidden_act: 'relu2',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
      attention_bias: true,
      mlp_bias: true,
    },
    norm: 'layer',
    feedforward: ungatedMlp,
    biases: configuredBiases,
  }),
  derive(base, 'helium', {
    defaults: { rms_norm_eps: 1e-8, rope_theta: 100_000, head_dim: 128 },
    biases: configuredBiases,
    interleavedRotary: true,
  }),
  derive(base, named('ernie4_5', 'Ernie4_5'), {
    defaults: {
      num_key_value_heads: 2,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      max_position_embeddings: 131_072,
      tie_word_embeddings: true,
      use_bias: false,
    },
    biases: ({ use_bias: bias }) => allBiases(bias),
    interleavedRotary: true,
  }),
  derive(base, named('seed_oss', 'SeedOss'), {
    defaults: { num_key_value_heads: 8, head_dim: 128, attention_bias: true },
    biases: (config) => ({
      ...configuredBiases(config),
      attentionOutput: config.attention_out_bias,
    }),
  }),
  derive(base, named('hunyuan_v1_dense', 'HunYuanDenseV1'), {
    defaults: { rms_norm_eps: 1e-5 },
    attention: hunyuanAttention,
    biases: attentionBiases,
  }),
  apertus,
  derive(apertus, named('apertus1p5_text', 'Apertus1p5Text'), {}),
  derive({ ...base, ...graniteSwa }, named('granite_swa', 'GraniteSWA'), {
    ...graniteSwaLayout,
    defaults: {
      num_key_value_heads: 4,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      sliding_window: 128,
    },
    biases: configuredBiases,
    scales: graniteScales,
  }),
  derive({ ...base, ...latentAttention }, named('minicpm3', 'MiniCPM3'), {
    defaults: (config) => ({
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      max_position_embeddings: 32_768,
      kv_lora_rank: 256,
      q_lora_rank: 768,
      qk_nope_head_dim: 64,
      qk_rope_head_dim: 32,
      v_head_dim: Number(config['hidden_size']) / Number(config['num_attention_heads']),
      scale_emb: 12,
      scale_depth: 1.4,
      dim_model_base: 256,
    }),
    computed: ownKeys,
    // The factor on branches is scale_depth / √blocks, and is to stay.
    byBlockCount: ({ scale_depth: depth = 1.4, num_hidden_layers: before }, blocks) =>
      typeof depth === 'number' ? { scale_depth: depth * Math.sqrt(blocks / Number(before)) } : {},
    scales: (config) => ({
      embedding: Number(config['scale_emb']),
      residual:
        typeof config['scale_depth'] === 'number'
          ? config['scale_depth'] / Math.sqrt(config.num_hidden_layers)
          : 1,
      logits:
        typeof config['dim_model_base'] === 'number'
          ? config['dim_model_base'] / config.hidden_size
          : 1,
    }),
  }),
  derive(base, named('bitnet', 'BitNet'), {
    defaults: { hidden_act: 'relu2', rms_norm_eps: 1e-5 },
    attention: { ...attention, parts: { innerNorm: 'self_attn.attn_sub_norm' } },
    feedforward: { ...feedforward, parts: { innerNorm: 'mlp.ffn_sub_norm' } },
    biases: attentionBiases,
  }),
  glm,
  derive(base, 'exaone', {
    classes: { config: 'ExaoneConfig', model: 'LlamaForCausalLM' },
    otherModules: say`transformers runs exaone models with the modules of llama, under other names.`,
    names: {
      num_hidden_layers: 'num_layers',
      rms_norm_eps: 'layer_norm_epsilon',
      hidden_act: 'activation_function',
    },
    defaults: {
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      max_position_embeddings: 4096,
    },
    embeddingAndHead: {
      prefixes: ['transformer.'],
      embedding: 'wte',
      finalNorm: 'ln_f',
      blocks: 'h',
    },
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: ['attn.attention.q_proj', 'attn.attention.k_proj', 'attn.attention.v_proj'],
      output: 'attn.attention.out_proj',
    },
    feedforward: {
      wiring: preNorm('ln_2'),
      gateUp: ['mlp.c_fc_0', 'mlp.c_fc_1'],
      down: 'mlp.c_proj',
    },
    biases: configuredBiases,
  }),
  derive(base, 'internlm3', {
    classes: { config: 'InternLM3Config', model: 'LlamaForCausalLM' },
    names: { attention_bias: 'qkv_bias', mlp_bias: 'bias' },
    defaults: { num_key_value_heads: 2, head_dim: 128, rms_norm_eps: 1e-5 },
    biases: configuredBiases,
  }),
  derive(base, 'iquestcoder', {
    classes: { config: 'IQuestCoderConfig', model: 'LlamaForCausalLM' },
    defaults: { num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5 },
    biases: configuredBiases,
  }),
  derive(base, 'cwm', {
    defaults: {
      num_key_value_heads: 8,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      sliding_window: 8192,
    },
    lists: {
      layer_types: (_, block) => (block % 4 === 0 ? 'full_attention' : 'sliding_attention'),
    },
    biases: ({ mlp_bias: bias }) => ({ ...noBiases(), feedforward: bias }),
    slidingWindow: windowedByType,
  }),
  derive(base, 'ministral', {
    defaults: { num_key_value_heads: 8, sliding_window: 4096 },
    lists: { layer_types: () => 'sliding_attention' },
    slidingWindow: windowedByType,
  }),
  derive(base, named('hyperclovax', 'HyperCLOVAX'), {
    biases: configuredBiases,
    scales: (config) => ({
      embedding: config.embedding_multiplier,
      residual: config.residual_multiplier,
      attention: config.attention_multiplier,
      logits: config.logits_scaling,
    }),
    form: ({ use_post_norm: hasPostNorms }) =>
      hasPostNorms
        ? {
            attention: { ...attention, wiring: sandwich(attention.wiring.norm, 'post_norm1') },
            feedforward: {
              ...feedforward,
              wiring: sandwich(feedforward.wiring.norm, 'post_norm2'),
            },
          }
        : {},
  }),
];
