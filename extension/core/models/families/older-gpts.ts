import type { Architecture } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import {
  allBiases,
  attention,
  base,
  fourTimesHidden,
  gptNames,
  withoutEncoder,
} from './shared-parts';
import { postNorm, preNorm } from '../modules/wiring-names';

/** The first GPT, and families with sinusoidal positions. */
export const olderGpts: readonly Architecture[] = [
  derive(base, 'openai-gpt', {
    attentionGives: 'list',
    classes: { config: 'OpenAIGPTConfig', model: 'OpenAIGPTLMHeadModel' },
    names: { ...gptNames, max_position_embeddings: 'n_positions', hidden_act: 'afn' },
    defaults: {
      hidden_act: 'gelu_new',
      max_position_embeddings: 512,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    },
    meant: { hidden_act: { gelu: 'gelu_new' } },
    computed: (config) => ({
      intermediate_size: fourTimesHidden({ hidden_size: config['n_embd'] }),
    }),
    embeddingAndHead: {
      prefixes: ['transformer.', ''],
      embedding: 'tokens_embed',
      positions: { name: 'positions_embed', offset: 0 },
      blocks: 'h',
    },
    norm: 'layer',
    transposed: true,
    attention: {
      queryKeyValue: { fused: 'attn.c_attn' },
      output: 'attn.c_proj',
      wiring: postNorm('ln_1'),
    },
    feedforward: {
      gateUp: ['mlp.c_fc'],
      down: 'mlp.c_proj',
      wiring: postNorm('ln_2'),
    },
    biases: () => allBiases(true),
    rotary: 'none',
  }),
  derive(base, 'ctrl', {
    classes: { config: 'CTRLConfig', model: 'CTRLLMHeadModel' },
    names: { ...gptNames, max_position_embeddings: 'n_positions', intermediate_size: 'dff' },
    defaults: {
      max_position_embeddings: 256,
      intermediate_size: 8192,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: true,
    },
    computed: () => ({ hidden_act: 'relu' }),
    embeddingAndHead: {
      prefixes: ['transformer.', ''],
      embedding: 'w',
      positions: { offset: 0, divisor: (half) => half },
      finalNorm: 'layernorm',
      blocks: 'h',
      headBias: true,
    },
    norm: 'layer',
    attention: {
      wiring: preNorm('layernorm1'),
      queryKeyValue: [
        'multi_head_attention.Wq',
        'multi_head_attention.Wk',
        'multi_head_attention.Wv',
      ],
      output: 'multi_head_attention.dense',
    },
    feedforward: {
      wiring: preNorm('layernorm2'),
      gateUp: ['ffn.0'],
      down: 'ffn.2',
    },
    biases: () => allBiases(true),
    rotary: 'none',
    scales: ({ hidden_size: hidden }) => ({ embedding: Math.sqrt(hidden) }),
  }),
  derive({ ...base, ...withoutEncoder }, named('xglm', 'XGLM'), {
    names: {
      hidden_size: 'd_model',
      num_hidden_layers: 'num_layers',
      num_attention_heads: 'attention_heads',
      intermediate_size: 'ffn_dim',
      hidden_act: 'activation_function',
    },
    defaults: { hidden_act: 'gelu', scale_embedding: true, tie_word_embeddings: true },
    computed: () => ({ rms_norm_eps: 1e-5 }),
    only: () => ({ add_cross_attention: false }),
    embeddingAndHead: {
      ...base.embeddingAndHead,
      positions: { offset: 2, divisor: (half) => half - 1 },
      finalNorm: 'layer_norm',
    },
    norm: 'layer',
    attention: {
      wiring: preNorm('self_attn_layer_norm'),
      queryKeyValue: attention.queryKeyValue,
      output: 'self_attn.out_proj',
    },
    feedforward: {
      wiring: preNorm('final_layer_norm'),
      gateUp: ['fc1'],
      down: 'fc2',
    },
    biases: () => allBiases(true),
    rotary: 'none',
    scales: ({ scale_embedding: isScaled, hidden_size: hidden }) => ({
      embedding: isScaled ? Math.sqrt(hidden) : 1,
    }),
  }),
];
