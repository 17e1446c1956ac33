import {
  attention,
  configuredBiases,
  everyNthFull,
  feedforward,
  noBiases,
  windowedByType,
} from '../families/shared-parts';
import { gemma3Blocks, gemma3Config } from '../families/gemma';
import type { EncoderArchitecture, HeadStep } from './encoder-architecture';
import { preNorm, postNorm } from '../modules/wiring-names';
import {
  allBiases,
  bertSteps,
  commonDefaults,
  epsilonName,
  causalHead,
  maskedHead,
  robertaSteps,
  textEmbedding,
} from './text-encoders';

const modernAttention = {
  wiring: preNorm('attn_norm'),
  queryKeyValue: { fused: 'attn.Wqkv' },
  output: 'attn.Wo',
} as const;

const modernDecoderAttention = {
  wiring: preNorm('attn_norm'),
  queryKeyValue: ['attn.q_proj', 'attn.k_proj', 'attn.v_proj'],
  output: 'attn.Wo',
} as const;

function modernSteps(module: string, decoder: string): readonly HeadStep[] {
  return [
    {
      name: `${module}.dense`,
      out: 'hidden',
      optionalBias: true,
      activation: 'gelu',
      norm: `${module}.norm`,
    },
    { name: decoder, out: 'vocabulary', optionalBias: true, tied: true },
  ];
}

/** Embedding and blocks of Nomic Embed (arXiv 2402.01613). */
export const nomicBlocks = {
  embedding: {
    kind: 'text',
    words: textEmbedding.words,
    types: textEmbedding.types,
    norm: 'emb_ln',
  },
  blocks: 'encoder.layers',
  attention: {
    queryKeyValue: { fused: 'attn.Wqkv' },
    output: 'attn.out_proj',
    wiring: postNorm('norm1'),
  },
  feedforward: {
    gateUp: ['mlp.fc12', 'mlp.fc11'],
    down: 'mlp.fc2',
    wiring: postNorm('norm2'),
  },
  biases: noBiases,
  rotary: 'shared',
} as const;

/** ModernBERT (arXiv 2412.13663). */
const modernbert: EncoderArchitecture = {
  modelType: 'modernbert',
  classes: { config: 'ModernBertConfig', model: 'ModernBertModel' },
  config: {
    names: { rms_norm_eps: 'norm_eps', hidden_act: 'hidden_activation' },
    defaults: () => ({
      hidden_act: 'gelu',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
    }),
    lists: {
      layer_types: ({ global_attn_every_n_layers: every = 3 }, block) =>
        block % Number(every) === 0 ? 'full_attention' : 'sliding_attention',
    },
    computed: ({ local_attention: window = 128, ...config }) => ({
      sliding_window: config['sliding_window'] ?? Math.trunc(Number(window) / 2),
      rope_theta: config['global_rope_theta'] ?? 160_000,
      rope_local_base_freq: config['local_rope_theta'] ?? 10_000,
    }),
  },
  prefix: 'model.',
  embedding: { kind: 'text', words: 'embeddings.tok_embeddings', norm: 'embeddings.norm' },
  blocks: 'layers',
  norm: 'layer-without-bias',
  firstAttention: { ...modernAttention, wiring: {} },
  attention: modernAttention,
  feedforward: {
    wiring: preNorm('mlp_norm'),
    gateUp: { fused: 'mlp.Wi' },
    down: 'mlp.Wo',
  },
  biases: configuredBiases,
  rotary: 'by-layer-type',
  slidingWindow: windowedByType,
  finalNorm: 'final_norm',
  form: (config) => (config['norm_bias'] === true ? { norm: 'layer' } : {}),
  heads: [maskedHead('ModernBert', modernSteps('head', 'decoder'))],
  modules: {
    layers: 'layers',
    attention: { attn_norm: 'nn.Identity', attn: 'NoAttention' },
    feedforward: { mlp_norm: 'nn.Identity', mlp: 'NoFeedforward' },
  },
};

/** Blocks of Llama that see in both directions. */
const llamaBlocks = {
  blocks: 'layers',
  norm: 'rms',
  attention,
  feedforward,
  finalNorm: 'norm',
  modules: {
    layers: 'layers',
    attention: { input_layernorm: 'nn.Identity', self_attn: 'NoAttention' },
    feedforward: { post_attention_layernorm: 'nn.Identity', mlp: 'NoFeedforward' },
  },
} as const satisfies Partial<EncoderArchitecture>;

const ultrabert: EncoderArchitecture = {
  ...llamaBlocks,
  modelType: 'ultrabert',
  classes: { config: 'UltrabertConfig', model: 'UltrabertModel' },
  config: {
    defaults: () => ({ sliding_window: 128, rope_theta: 2_560_000 }),
    lists: { layer_types: (_, block) => everyNthFull(3, block) },
  },
  prefix: 'ultrabert.',
  embedding: { kind: 'text', words: 'embed_tokens' },
  biases: configuredBiases,
  rotary: 'by-layer-type',
  slidingWindow: windowedByType,
  heads: ultrabertHeads('Ultrabert', 'cls'),
  modules: { ...llamaBlocks.modules, prefix: 'model.' },
};

function ultrabertHeads(family: string, decoder: string): EncoderArchitecture['heads'] {
  const gelu = { optionalBias: true, activation: 'gelu_pytorch_tanh' };
  return [
    maskedHead(family, [
      { name: 'head.linear1', out: 'stored', ...gelu },
      { name: 'head.linear2', out: 'hidden', ...gelu },
      { name: decoder, out: 'vocabulary', optionalBias: true, tied: true },
    ]),
  ];
}

/** Branches whose sums are normed, under modules of transformers' own names. */
const rotaryPostNorm = {
  layers: 'layers',
  attention: { self_attn: 'NoAttention' },
  feedforward: { mlp: 'NoFeedforward' },
} as const;

/** EmbeddingGemma: Gemma 3 with bidirectional attention (arXiv 2509.20354). */
const gemma3: EncoderArchitecture = {
  ...gemma3Blocks,
  modelType: 'gemma3_text',
  matchingFields: { use_bidirectional_attention: true },
  classes: { config: 'Gemma3TextConfig', model: 'Gemma3TextModel' },
  config: gemma3Config,
  prefix: 'model.',
  embedding: { kind: 'text', words: 'embed_tokens' },
  blocks: 'layers',
  // config.json counts positions on both sides.
  slidingWindow: (config, block) => {
    const window = windowedByType(config, block);
    return window && Math.trunc(window / 2);
  },
  finalNorm: 'norm',
  heads: [],
  modules: {
    layers: 'layers',
    attention: {
      input_layernorm: 'nn.Identity',
      self_attn: 'NoAttention',
      post_attention_layernorm: 'nn.Identity',
    },
    feedforward: {
      pre_feedforward_layernorm: 'nn.Identity',
      mlp: 'NoFeedforward',
      post_feedforward_layernorm: 'nn.Identity',
    },
  },
};

/** Encoders with rotary embeddings. */
export const rotaryEncoders: readonly EncoderArchitecture[] = [
  modernbert,
  {
    ...modernbert,
    modelType: 'modernbert-decoder',
    classes: { config: 'ModernBertDecoderConfig', model: 'ModernBertDecoderModel' },
    causal: true,
    firstAttention: { ...modernDecoderAttention, wiring: {} },
    attention: modernDecoderAttention,
    heads: [causalHead('ModernBertDecoder', modernSteps('lm_head', 'decoder'))],
  },
  {
    ...modernbert,
    modelType: 'modernvbert',
    classes: { config: 'ModernVBertConfig', model: 'ModernVBertModel' },
    config: { ...modernbert.config, nested: 'text_config' },
    prefix: 'model.text_model.',
    heads: [maskedHead('ModernVBert', modernSteps('projection_head', 'lm_head'))],
  },
  {
    ...llamaBlocks,
    modelType: 'eurobert',
    classes: { config: 'EuroBertConfig', model: 'EuroBertModel' },
    config: {
      defaults: () => ({ rms_norm_eps: 1e-5, rope_theta: 250_000, max_position_embeddings: 8192 }),
    },
    prefix: 'model.',
    embedding: { kind: 'text', words: 'embed_tokens' },
    biases: configuredBiases,
    rotary: 'shared',
    heads: [
      maskedHead('EuroBert', [
        { name: 'lm_head', out: 'vocabulary', optionalBias: true, tied: true },
      ]),
    ],
  },
  gemma3,
  ultrabert,
  {
    ...ultrabert,
    modelType: 'ultravbert',
    classes: { config: 'UltraVBertConfig', model: 'UltraVBertModel' },
    config: { ...ultrabert.config, nested: 'text_config' },
    prefix: 'model.text_model.',
    heads: ultrabertHeads('UltraVBert', 'head.decoder'),
    modules: llamaBlocks.modules,
  },
  {
    modelType: 'nomic_bert',
    classes: { config: 'NomicBertConfig', model: 'NomicBertModel' },
    config: {
      names: epsilonName,
      defaults: () => ({
        ...commonDefaults,
        hidden_act: 'silu',
        rope_theta: 1000,
        tie_word_embeddings: true,
      }),
    },
    prefix: 'nomic_bert.',
    ...nomicBlocks,
    heads: [maskedHead('NomicBert', bertSteps('layer_norm'))],
    modules: {
      ...rotaryPostNorm,
      splits: ['attn.Wqkv'],
      linears: {
        'attn.out_proj': 'self_attn.o_proj',
        'mlp.fc11': 'mlp.up_proj',
        'mlp.fc12': 'mlp.gate_proj',
        'mlp.fc2': 'mlp.down_proj',
      },
    },
  },
  {
    modelType: 'gte',
    classes: { config: 'GteConfig', model: 'GteModel' },
    config: {
      names: epsilonName,
      defaults: () => ({
        ...commonDefaults,
        rope_theta: 160_000,
        max_position_embeddings: 8192,
        type_vocab_size: 1,
        tie_word_embeddings: true,
      }),
    },
    prefix: 'gte.',
    embedding: {
      kind: 'text',
      words: 'embeddings.word_embeddings',
      types: 'embeddings.token_type_embeddings',
      norm: 'embeddings.LayerNorm',
    },
    blocks: 'encoder.layer',
    attention: {
      queryKeyValue: { fused: 'attention.qkv_proj' },
      output: 'attention.o_proj',
      wiring: postNorm('attn_ln'),
    },
    feedforward: {
      gateUp: { fused: 'mlp.up_gate_proj', order: 'up-gate' },
      down: 'mlp.down_proj',
      wiring: postNorm('mlp_ln'),
    },
    biases: () => ({ ...allBiases, feedforward: false, feedforwardOutput: true }),
    rotary: 'shared',
    heads: [
      maskedHead('Gte', [
        { name: 'lm_head.dense', out: 'hidden', activation: 'gelu', norm: 'lm_head.norm' },
        { name: 'lm_head.decoder', out: 'vocabulary', tied: true },
      ]),
    ],
    modules: {
      ...rotaryPostNorm,
      splits: ['attention.qkv_proj', 'mlp.up_gate_proj'],
      linears: { 'attention.o_proj': 'self_attn.o_proj', 'mlp.down_proj': 'mlp.down_proj' },
    },
  },
  {
    modelType: 'jina_embeddings_v3',
    classes: { config: 'JinaEmbeddingsV3Config', model: 'JinaEmbeddingsV3Model' },
    config: {
      names: epsilonName,
      defaults: () => ({
        ...commonDefaults,
        rms_norm_eps: 1e-5,
        rope_theta: 20_000,
        max_position_embeddings: 8194,
        type_vocab_size: 1,
        tie_word_embeddings: true,
      }),
    },
    prefix: 'roberta.',
    ...nomicBlocks,
    attention: {
      ...nomicBlocks.attention,
      queryKeyValue: { fused: 'mixer.Wqkv' },
      output: 'mixer.out_proj',
    },
    feedforward: { ...nomicBlocks.feedforward, gateUp: ['mlp.fc1'] },
    biases: () => allBiases,
    heads: [maskedHead('JinaEmbeddingsV3', robertaSteps)],
    modules: {
      ...rotaryPostNorm,
      splits: ['mixer.Wqkv'],
      linears: {
        'mixer.out_proj': 'self_attn.o_proj',
        'mlp.fc1': 'mlp.fc1',
        'mlp.fc2': 'mlp.fc2',
      },
    },
  },
];
