import type { Architecture } from '../transformer/architecture';
import {
  allBiases,
  attention,
  attentionBiases,
  base,
  clipInConfig,
  configuredBiases,
  everywhere,
  feedforward,
  graniteScales,
  growthInRope,
  hunyuanAttention,
  noBiases,
  queryKeyNorms,
  ungated,
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
    ...ungated,
    wiring: preNorm('feedforward_layernorm'),
    parts: { xielu: 'mlp.act_fn' },
  },
  biases: attentionBiases,
};

/** Families of Llama's order of branches with other norms, activations or turns. */
export const llamaRelatives: readonly Architecture[] = [
  {
    ...base,
    modelType: 'diffllama',
    classes: { config: 'DiffLlamaConfig', model: 'DiffLlamaForCausalLM' },
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
    config: { defaults: () => ({ rms_norm_eps: 1e-5 }) },
    biases: attentionBiases,
  },
  {
    ...base,
    modelType: 'olmo',
    config: { computed: () => ({ rms_norm_eps: 1e-5 }) },
    norm: 'layer-without-weight',
    biases: attentionBiases,
    attention: { ...attention, parts: { clip: clipInConfig } },
  },
  {
    ...base,
    modelType: 'nanochat',
    classes: { config: 'NanoChatConfig', model: 'NanoChatForCausalLM' },
    config: {
      defaults: () => ({
        num_key_value_heads: 6,
        hidden_act: 'relu2',
        final_logit_softcapping: 15,
      }),
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
  },
  {
    ...base,
    modelType: 'ministral3',
    config: {
      defaults: () => ({ num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5 }),
    },
    slidingWindow: everywhere,
    queryGrowth: growthInRope,
  },
  {
    ...base,
    modelType: 'arcee',
    config: { defaults: () => ({ hidden_act: 'relu2', rms_norm_eps: 1e-5 }) },
    feedforward: ungated,
    biases: configuredBiases,
  },
  {
    ...base,
    modelType: 'nemotron',
    config: {
      names: { rms_norm_eps: 'norm_eps' },
      defaults: () => ({
        hidden_act: 'relu2',
        rms_norm_eps: 1e-5,
        max_position_embeddings: 4096,
        partial_rotary_factor: 0.5,
      }),
    },
    norm: 'layer-offset',
    feedforward: ungated,
    biases: configuredBiases,
  },
  {
    ...base,
    modelType: 'jais2',
    config: {
      names: { rms_norm_eps: 'layer_norm_eps' },
      defaults: () => ({
        hidden_act: 'relu2',
        rms_norm_eps: 1e-5,
        max_position_embeddings: 8192,
        attention_bias: true,
        mlp_bias: true,
      }),
    },
    norm: 'layer',
    feedforward: ungated,
    biases: configuredBiases,
  },
  {
    ...base,
    modelType: 'helium',
    config: { defaults: () => ({ rms_norm_eps: 1e-8, rope_theta: 100_000, head_dim: 128 }) },
    biases: configuredBiases,
    interleavedRotary: true,
  },
  {
    ...base,
    modelType: 'ernie4_5',
    classes: { config: 'Ernie4_5Config', model: 'Ernie4_5ForCausalLM' },
    config: {
      defaults: () => ({
        num_key_value_heads: 2,
        head_dim: 128,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000,
        max_position_embeddings: 131_072,
        tie_word_embeddings: true,
        use_bias: false,
      }),
    },
    biases: ({ use_bias: bias }) => allBiases(bias),
    interleavedRotary: true,
  },
  {
    ...base,
    modelType: 'seed_oss',
    classes: { config: 'SeedOssConfig', model: 'SeedOssForCausalLM' },
    config: { defaults: () => ({ num_key_value_heads: 8, head_dim: 128, attention_bias: true }) },
    biases: (config) => ({
      ...configuredBiases(config),
      attentionOutput: config.attention_out_bias,
    }),
  },
  {
    ...base,
    modelType: 'hunyuan_v1_dense',
    classes: { config: 'HunYuanDenseV1Config', model: 'HunYuanDenseV1ForCausalLM' },
    config: { defaults: () => ({ rms_norm_eps: 1e-5 }) },
    attention: hunyuanAttention,
    biases: attentionBiases,
  },
  apertus,
  {
    ...apertus,
    modelType: 'apertus1p5_text',
    classes: { config: 'Apertus1p5TextConfig', model: 'Apertus1p5TextForCausalLM' },
  },
  {
    ...base,
    ...graniteSwa,
    modelType: 'granite_swa',
    classes: { config: 'GraniteSWAConfig', model: 'GraniteSWAForCausalLM' },
    config: {
      ...graniteSwaLayout,
      defaults: () => ({
        num_key_value_heads: 4,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 8192,
        tie_word_embeddings: true,
        sliding_window: 128,
      }),
    },
    biases: configuredBiases,
    scales: graniteScales,
  },
  {
    ...base,
    ...latentAttention,
    modelType: 'minicpm3',
    classes: { config: 'MiniCPM3Config', model: 'MiniCPM3ForCausalLM' },
    config: {
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
        typeof depth === 'number'
          ? { scale_depth: depth * Math.sqrt(blocks / Number(before)) }
          : {},
    },
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
  },
  {
    ...base,
    modelType: 'bitnet',
    classes: { config: 'BitNetConfig', model: 'BitNetForCausalLM' },
    config: { defaults: () => ({ hidden_act: 'relu2', rms_norm_eps: 1e-5 }) },
    attention: { ...attention, parts: { innerNorm: 'self_attn.attn_sub_norm' } },
    feedforward: { ...feedforward, parts: { innerNorm: 'mlp.ffn_sub_norm' } },
    biases: attentionBiases,
  },
  glm,
  {
    ...base,
    modelType: 'exaone',
    classes: { config: 'ExaoneConfig', model: 'LlamaForCausalLM' },
    otherModules: say`transformers runs exaone models with the modules of llama, under other names.`,
    config: {
      names: {
        num_hidden_layers: 'num_layers',
        rms_norm_eps: 'layer_norm_epsilon',
        hidden_act: 'activation_function',
      },
      defaults: () => ({
        num_key_value_heads: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000,
        max_position_embeddings: 4096,
      }),
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
  },
  {
    ...base,
    modelType: 'internlm3',
    classes: { config: 'InternLM3Config', model: 'LlamaForCausalLM' },
    config: {
      names: { attention_bias: 'qkv_bias', mlp_bias: 'bias' },
      defaults: () => ({ num_key_value_heads: 2, head_dim: 128, rms_norm_eps: 1e-5 }),
    },
    biases: configuredBiases,
  },
  {
    ...base,
    modelType: 'iquestcoder',
    classes: { config: 'IQuestCoderConfig', model: 'LlamaForCausalLM' },
    config: { defaults: () => ({ num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5 }) },
    biases: configuredBiases,
  },
  {
    ...base,
    modelType: 'cwm',
    config: {
      defaults: () => ({
        num_key_value_heads: 8,
        head_dim: 128,
        rms_norm_eps: 1e-5,
        sliding_window: 8192,
      }),
      lists: {
        layer_types: (_, block) => (block % 4 === 0 ? 'full_attention' : 'sliding_attention'),
      },
    },
    biases: ({ mlp_bias: bias }) => ({ ...noBiases(), feedforward: bias }),
    slidingWindow: windowedByType,
  },
  {
    ...base,
    modelType: 'ministral',
    config: {
      defaults: () => ({ num_key_value_heads: 8, sliding_window: 4096 }),
      lists: { layer_types: () => 'sliding_attention' },
    },
    slidingWindow: windowedByType,
  },
  {
    ...base,
    modelType: 'hyperclovax',
    classes: { config: 'HyperCLOVAXConfig', model: 'HyperCLOVAXForCausalLM' },
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
  },
];
