import type { EncoderArchitecture } from './encoder-architecture';
import type { EncoderConfig } from './encoder-config';
import { postNorm } from '../modules/wiring-names';
import {
  bertLike,
  layout,
  bertBlocks,
  robertaLike,
  textDefaults,
  textEmbedding,
  withDenseClassifier,
  allBiases,
  classifier,
  forTokens,
  maskedHead,
} from './text-encoders';

/** ALBERT (arXiv 1909.11942): blocks of a group have the same weights. */
export const albert: EncoderArchitecture = {
  modelType: 'albert',
  classes: { config: 'AlbertConfig', model: 'AlbertModel' },
  config: {
    ...layout,
    defaults: () => ({
      ...textDefaults,
      hidden_act: 'gelu_new',
      embedding_size: 128,
      num_hidden_groups: 1,
    }),
    only: () => ({ inner_group_num: 1 }),
  },
  prefix: 'albert.',
  embedding: {
    ...textEmbedding,
    projection: { name: 'encoder.embedding_hidden_mapping_in', bias: true, always: true },
  },
  blocks: 'encoder.albert_layer_groups',
  sharedBlocks: ({ num_hidden_layers: blocks, num_hidden_groups: groups }, block) =>
    `${Math.trunc(block / (blocks / Number(groups)))}.albert_layers.0`,
  attention: {
    queryKeyValue: ['attention.query', 'attention.key', 'attention.value'],
    output: 'attention.dense',
    wiring: postNorm('attention.LayerNorm'),
  },
  feedforward: {
    gateUp: ['ffn'],
    down: 'ffn_output',
    wiring: postNorm('full_layer_layer_norm'),
  },
  biases: () => allBiases,
  heads: [
    maskedHead('Albert', [
      {
        name: 'predictions.dense',
        out: 'embedding',
        activation: 'hidden_act',
        norm: 'predictions.LayerNorm',
      },
      { name: 'predictions.decoder', bias: 'predictions.bias', out: 'vocabulary', tied: true },
    ]),
    {
      class: 'AlbertForSequenceClassification',
      auto: 'AutoModelForSequenceClassification',
      reads: 'first',
      steps: [{ name: 'albert.pooler', out: 'hidden', activation: 'tanh' }, classifier],
    },
    forTokens('Albert'),
  ],
  modules: { ...bertBlocks.modules, layers: 'encoder.albert_layer_groups' },
};

/** Encoders with the tensor names of BERT or RoBERTa, and other linear layers, attention or embeddings. */
export const bertVariants: readonly EncoderArchitecture[] = [
  {
    ...bertLike({
      modelType: 'squeezebert',
      family: 'SqueezeBert',
      prefix: 'transformer.',
      causal: 'none',
    }),
    config: {
      ...layout,
      // Overrides the file, because the layers ignore it.
      computed: () => ({ rms_norm_eps: 1e-12 }),
    },
    blocks: 'encoder.layers',
    attention: {
      queryKeyValue: ['attention.query', 'attention.key', 'attention.value'],
      output: 'post_attention.conv1d',
      wiring: postNorm('post_attention.layernorm'),
    },
    feedforward: {
      gateUp: ['intermediate.conv1d'],
      down: 'output.conv1d',
      wiring: postNorm('output.layernorm'),
    },
    groups: (config: EncoderConfig): Record<string, number> => {
      const count = (field: string, usual: number): number => Number(config[field] ?? usual);
      return {
        'attention.query': count('q_groups', 4),
        'attention.key': count('k_groups', 4),
        'attention.value': count('v_groups', 4),
        'post_attention.conv1d': count('post_attention_groups', 1),
        'intermediate.conv1d': count('intermediate_groups', 4),
        'output.conv1d': count('output_groups', 4),
      };
    },
    modules: {
      layers: 'encoder.layers',
      attention: { attention: 'NoSqueezeAttention', post_attention: 'KeptSqueezeNorm' },
      feedforward: { intermediate: 'nn.Identity', output: 'KeptSqueezeNorm' },
    },
  },
  {
    ...robertaLike({ modelType: 'ibert', family: 'IBert', prefix: 'ibert.', causal: 'none' }),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, pad_token_id: 1 }),
      only: () => ({ quant_mode: false }),
    },
    modules: {
      ...bertBlocks.modules,
      attention: {
        'attention.self': 'NoQuantAttention',
        'attention.output.dense': 'NoQuantLinear',
      },
      feedforward: { intermediate: 'SameQuant', 'output.dense': 'NoQuantLinear' },
    },
  },
  {
    ...withDenseClassifier({ modelType: 'yoso', family: 'Yoso', prefix: 'yoso.', causal: 'none' }),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, type_vocab_size: 1, max_position_embeddings: 4096 }),
      // Without it, hashes are random.
      only: () => ({ use_expectation: true, conv_window: null }),
    },
    embedding: { ...textEmbedding, positionOffset: 2 },
    attention: {
      ...bertBlocks.attention,
      parts: { hashes: { count: ({ hash_code_len: count = 9 }) => Number(count) } },
    },
    scales: () => ({ attention: 1 }),
  },
  {
    ...withDenseClassifier({
      modelType: 'nystromformer',
      family: 'Nystromformer',
      prefix: 'nystromformer.',
      causal: 'none',
    }),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, hidden_act: 'gelu_new', rms_norm_eps: 1e-5 }),
      // With one landmark per token, Nyström attention equals standard attention.
      only: ({ segment_means_seq_len: length = 64 }) => ({ num_landmarks: length }),
    },
    embedding: { ...textEmbedding, positionOffset: 2 },
    attention: {
      ...bertBlocks.attention,
      parts: {
        valueConvolution: {
          name: 'attention.self.conv',
          width: ({ conv_kernel_size: width = 65 }) => Number(width),
        },
      },
    },
  },
  {
    ...bertLike({ modelType: 'roc_bert', family: 'RoCBert', prefix: 'roc_bert.' }),
    config: { ...layout, only: () => ({ add_cross_attention: false, concat_input: true }) },
    embedding: {
      ...textEmbedding,
      joined: {
        tables: ({ enable_shape: shape, enable_pronunciation: sound }) => [
          ...(shape === false ? [] : ['embeddings.shape_embed']),
          ...(sound === false ? [] : ['embeddings.pronunciation_embed']),
        ],
        projection: 'embeddings.map_inputs_layer',
      },
    },
  },
];
