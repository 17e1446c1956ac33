import type { Biases } from '../transformer/architecture';
import type { ConfigLayout } from '../transformer/config-layout';
import type { EncoderArchitecture, HeadStep } from './encoder-architecture';

const allBiases: Biases = { queryKeyValue: true, attentionOutput: true, feedforward: true };

/** Branches in the manner of BERT: the sum of stream and branch is normed (arXiv 1810.04805). */
const postNorm = {
  attention: {
    queryKeyValue: {
      kind: 'separate',
      names: ['attention.self.query', 'attention.self.key', 'attention.self.value'],
    },
    output: 'attention.output.dense',
    sumNorm: 'attention.output.LayerNorm',
  },
  feedforward: {
    gateUp: { kind: 'separate', names: ['intermediate.dense'] },
    down: 'output.dense',
    sumNorm: 'output.LayerNorm',
  },
  biases: (): Biases => allBiases,
  modules: {
    layers: 'encoder.layer',
    attention: { attention: 'SameAttention' },
    feedforward: { intermediate: 'nn.Identity', output: 'SameOutput' },
  },
} as const;

const textEmbedding = {
  kind: 'text',
  words: 'embeddings.word_embeddings',
  positions: 'embeddings.position_embeddings',
  types: 'embeddings.token_type_embeddings',
  norm: 'embeddings.LayerNorm',
} as const;

const names = { rms_norm_eps: 'layer_norm_eps' };
const imageDefaults = { hidden_act: 'gelu', rms_norm_eps: 1e-12 };
const textDefaults = {
  ...imageDefaults,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
};
const layout: ConfigLayout = {
  names,
  defaults: () => textDefaults,
  only: () => ({
    is_decoder: false,
    add_cross_attention: false,
    position_embedding_type: 'absolute',
  }),
};

const classifier: HeadStep = { name: 'classifier', out: 'labels' };

/** Every family of encoders that a Hugging Face folder can be opened as. */
export const encoderArchitectures: readonly EncoderArchitecture[] = [
  {
    ...postNorm,
    modelType: 'bert',
    classes: { config: 'BertConfig', model: 'BertModel' },
    config: layout,
    prefix: 'bert.',
    embedding: { ...textEmbedding, positionsSkipPadding: false },
    blocks: 'encoder.layer',
    heads: [
      {
        class: 'BertForMaskedLM',
        auto: 'AutoModelForMaskedLM',
        first: false,
        steps: [
          {
            name: 'cls.predictions.transform.dense',
            out: 'hidden',
            activation: 'hidden_act',
            norm: 'cls.predictions.transform.LayerNorm',
          },
          {
            name: 'cls.predictions.decoder',
            bias: 'cls.predictions.bias',
            out: 'vocabulary',
            tied: true,
          },
        ],
      },
      {
        class: 'BertForSequenceClassification',
        auto: 'AutoModelForSequenceClassification',
        first: true,
        steps: [{ name: 'bert.pooler.dense', out: 'hidden', activation: 'tanh' }, classifier],
      },
      {
        class: 'BertForTokenClassification',
        auto: 'AutoModelForTokenClassification',
        first: false,
        steps: [classifier],
      },
    ],
  },
  {
    ...postNorm,
    modelType: 'roberta',
    classes: { config: 'RobertaConfig', model: 'RobertaModel' },
    config: { ...layout, defaults: () => ({ ...textDefaults, pad_token_id: 1 }) },
    prefix: 'roberta.',
    embedding: { ...textEmbedding, positionsSkipPadding: true },
    blocks: 'encoder.layer',
    heads: [
      {
        class: 'RobertaForMaskedLM',
        auto: 'AutoModelForMaskedLM',
        first: false,
        steps: [
          { name: 'lm_head.dense', out: 'hidden', activation: 'gelu', norm: 'lm_head.layer_norm' },
          { name: 'lm_head.decoder', bias: 'lm_head.bias', out: 'vocabulary', tied: true },
        ],
      },
      {
        class: 'RobertaForSequenceClassification',
        auto: 'AutoModelForSequenceClassification',
        first: true,
        steps: [
          { name: 'classifier.dense', out: 'hidden', activation: 'tanh' },
          { name: 'classifier.out_proj', out: 'labels' },
        ],
      },
      {
        class: 'RobertaForTokenClassification',
        auto: 'AutoModelForTokenClassification',
        first: false,
        steps: [classifier],
      },
    ],
  },
  {
    modelType: 'vit',
    classes: { config: 'ViTConfig', model: 'ViTModel' },
    config: { names, defaults: () => imageDefaults },
    prefix: 'vit.',
    embedding: {
      kind: 'image',
      patches: 'embeddings.patch_embeddings.projection',
      classToken: 'embeddings.cls_token',
      positions: 'embeddings.position_embeddings',
    },
    blocks: 'encoder.layer',
    attention: {
      norm: 'layernorm_before',
      queryKeyValue: {
        kind: 'separate',
        names: ['query', 'key', 'value'].map((name) => `attention.attention.${name}`),
      },
      output: 'attention.output.dense',
    },
    feedforward: {
      norm: 'layernorm_after',
      gateUp: { kind: 'separate', names: ['intermediate.dense'] },
      down: 'output.dense',
    },
    biases: ({ qkv_bias: queryKeyValue }) => ({ ...allBiases, queryKeyValue }),
    finalNorm: 'layernorm',
    heads: [
      {
        class: 'ViTForImageClassification',
        auto: 'AutoModelForImageClassification',
        first: true,
        steps: [classifier],
      },
    ],
    modules: {
      layers: 'layers',
      attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
      feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
      linears: {
        'attention.attention.query': 'attention.q_proj',
        'attention.attention.key': 'attention.k_proj',
        'attention.attention.value': 'attention.v_proj',
        'attention.output.dense': 'attention.o_proj',
        'intermediate.dense': 'mlp.fc1',
        'output.dense': 'mlp.fc2',
      },
    },
  },
];

/** The family of a `model_type`. */
export function knownEncoder(modelType: string): EncoderArchitecture | undefined {
  return encoderArchitectures.find((known) => known.modelType === modelType);
}
