import type { Biases } from '../transformer/architecture';
import type { ConfigLayout } from '../transformer/model-config';
import type { EncoderArchitecture, HeadForm, HeadStep } from './encoder-architecture';
import { postNorm, preNorm } from '../modules/wiring-names';

export const allBiases: Biases = {
  queryKeyValue: true,
  attentionOutput: true,
  feedforward: true,
};
/** config.json's name of the norm epsilon in BERT-like encoders. */
export const epsilonName = { rms_norm_eps: 'layer_norm_eps' };
export const commonDefaults = { hidden_act: 'gelu', rms_norm_eps: 1e-12 };
/** Last linear layer of a classification head. */
export const classifier: HeadStep = { name: 'classifier', out: 'stored' };

/** Branches in the manner of BERT: the sum of stream and branch is normed (arXiv 1810.04805). */
export const bertBlocks = {
  attention: {
    queryKeyValue: ['attention.self.query', 'attention.self.key', 'attention.self.value'],
    output: 'attention.output.dense',
    wiring: postNorm('attention.output.LayerNorm'),
  },
  feedforward: {
    gateUp: ['intermediate.dense'],
    down: 'output.dense',
    wiring: postNorm('output.LayerNorm'),
  },
  biases: (): Biases => allBiases,
  modules: {
    layers: 'encoder.layer',
    attention: { 'attention.self': 'NoAttention', 'attention.output': 'KeptNorm' },
    feedforward: { intermediate: 'nn.Identity', output: 'KeptNorm' },
  },
} as const;

/** Tensor names of BERT-like embeddings. */
export const textEmbedding = {
  kind: 'text',
  words: 'embeddings.word_embeddings',
  positions: 'embeddings.position_embeddings',
  types: 'embeddings.token_type_embeddings',
  norm: 'embeddings.LayerNorm',
} as const;

export const textDefaults = {
  ...commonDefaults,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
};
/** config.json of BERT-like encoders: field names, defaults, and the only values that are supported. */
export const layout: ConfigLayout = {
  names: epsilonName,
  defaults: () => textDefaults,
  only: () => ({
    add_cross_attention: false,
    position_embedding_type: 'absolute',
  }),
};

/** Names of a family: `model_type`, prefix of its classes, name of its base module. */
interface Named {
  readonly modelType: string;
  readonly family: string;
  readonly prefix: string;
  /** Class of the causal language model, if its name doesn't follow the pattern, or `none`. */
  readonly causal?: string;
}

/** A head for masked tokens. */
export const maskedHead = (family: string, steps: readonly HeadStep[]): HeadForm => ({
  class: `${family}ForMaskedLM`,
  auto: 'AutoModelForMaskedLM',
  reads: 'all',
  steps,
});

/** A head for the next token, in a class that may be named otherwise. */
export const causalHead = (
  family: string,
  steps: readonly HeadStep[],
  name = `${family}ForCausalLM`,
): HeadForm => ({ class: name, auto: 'AutoModelForCausalLM', reads: 'all', steps });

/** Heads for masked and causal language models, if the family has them. */
const languageHeads = ({ family, causal }: Named, steps: readonly HeadStep[]): HeadForm[] => [
  maskedHead(family, steps),
  ...(causal === 'none' ? [] : [causalHead(family, steps, causal)]),
];

/** The head of BERT for tokens; its norm has another name in some families. */
export const bertSteps = (norm = 'LayerNorm'): HeadStep[] => [
  {
    name: 'cls.predictions.transform.dense',
    out: 'embedding',
    activation: 'hidden_act',
    norm: `cls.predictions.transform.${norm}`,
  },
  {
    name: 'cls.predictions.decoder',
    bias: 'cls.predictions.bias',
    out: 'vocabulary',
    tied: true,
  },
];

/** The head of RoBERTa for tokens. */
export const robertaSteps: readonly HeadStep[] = [
  { name: 'lm_head.dense', out: 'hidden', activation: 'gelu', norm: 'lm_head.layer_norm' },
  { name: 'lm_head.decoder', bias: 'lm_head.bias', out: 'vocabulary', tied: true },
];

/** Token classification head of a family. */
export const forTokens = (family: string): HeadForm => ({
  class: `${family}ForTokenClassification`,
  auto: 'AutoModelForTokenClassification',
  reads: 'all',
  steps: [classifier],
});

/** BERT and models with the same tensor names. */
export function bertLike(
  named: Named,
  steps: readonly HeadStep[] = bertSteps(),
  classifierSteps: readonly HeadStep[] = [
    { name: `${named.prefix}pooler.dense`, out: 'hidden', activation: 'tanh' },
    classifier,
  ],
): EncoderArchitecture {
  const { modelType, family, prefix } = named;
  return {
    ...bertBlocks,
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: layout,
    prefix,
    embedding: textEmbedding,
    blocks: 'encoder.layer',
    heads: [
      ...languageHeads(named, steps),
      {
        class: `${family}ForSequenceClassification`,
        auto: 'AutoModelForSequenceClassification',
        reads: 'first',
        steps: classifierSteps,
      },
      forTokens(family),
    ],
  };
}

/** Classification head of two linear layers. */
export const denseClassifier = (activation: string): HeadStep[] => [
  { name: 'classifier.dense', out: 'hidden', activation },
  { name: 'classifier.out_proj', out: 'stored' },
];

/** The same with a classifier of two layers instead of pooler and classifier. */
export const withDenseClassifier = (named: Named): EncoderArchitecture =>
  bertLike(named, bertSteps(), denseClassifier('hidden_act'));

/** RoBERTa (arXiv 1907.11692) and models with the same tensor names. */
export const robertaLike = (named: Named): EncoderArchitecture => ({
  ...bertLike(named, robertaSteps, denseClassifier('tanh')),
  config: { ...layout, defaults: () => ({ ...textDefaults, pad_token_id: 1 }) },
  embedding: { ...textEmbedding, positionsSkipPadding: true },
});

const robertaPreNorm: EncoderArchitecture = {
  ...robertaLike({
    modelType: 'roberta-prelayernorm',
    family: 'RobertaPreLayerNorm',
    prefix: 'roberta_prelayernorm.',
  }),
  attention: {
    ...bertBlocks.attention,
    wiring: preNorm('attention.LayerNorm'),
  },
  feedforward: {
    ...bertBlocks.feedforward,
    wiring: preNorm('intermediate.LayerNorm'),
  },
  finalNorm: 'LayerNorm',
  modules: {
    layers: bertBlocks.modules.layers,
    attention: { attention: 'SameAttention' },
    feedforward: { intermediate: 'nn.Identity', output: 'SameOutput' },
  },
};

const electraBase = bertLike({ modelType: 'electra', family: 'Electra', prefix: 'electra.' });
const electraSteps: readonly HeadStep[] = [
  {
    name: 'generator_predictions.dense',
    out: 'embedding',
    activation: 'gelu',
    norm: 'generator_predictions.LayerNorm',
  },
  { name: 'generator_lm_head', out: 'vocabulary', tied: true },
];
const electra: EncoderArchitecture = {
  ...electraBase,
  embedding: {
    ...textEmbedding,
    projection: { name: 'embeddings_project', bias: true },
  },
  heads: [
    maskedHead('Electra', electraSteps),
    causalHead('Electra', electraSteps),
    {
      class: 'ElectraForSequenceClassification',
      auto: 'AutoModelForSequenceClassification',
      reads: 'first',
      steps: denseClassifier('gelu'),
    },
    forTokens('Electra'),
  ],
};

/** DistilBERT (arXiv 1910.01108): no segments, no pooler. */
const distilbert: EncoderArchitecture = {
  modelType: 'distilbert',
  classes: { config: 'DistilBertConfig', model: 'DistilBertModel' },
  config: {
    names: {
      hidden_size: 'dim',
      num_hidden_layers: 'n_layers',
      num_attention_heads: 'n_heads',
      intermediate_size: 'hidden_dim',
      hidden_act: 'activation',
    },
    defaults: () => textDefaults,
    computed: () => ({ rms_norm_eps: 1e-12 }),
  },
  prefix: 'distilbert.',
  embedding: {
    kind: 'text',
    words: textEmbedding.words,
    positions: textEmbedding.positions,
    norm: textEmbedding.norm,
  },
  blocks: 'transformer.layer',
  attention: {
    queryKeyValue: ['attention.q_lin', 'attention.k_lin', 'attention.v_lin'],
    output: 'attention.out_lin',
    wiring: postNorm('sa_layer_norm'),
  },
  feedforward: {
    gateUp: ['ffn.lin1'],
    down: 'ffn.lin2',
    wiring: postNorm('output_layer_norm'),
  },
  biases: () => allBiases,
  heads: [
    {
      class: 'DistilBertForMaskedLM',
      auto: 'AutoModelForMaskedLM',
      reads: 'all',
      steps: [
        {
          name: 'vocab_transform',
          out: 'hidden',
          activation: 'hidden_act',
          norm: 'vocab_layer_norm',
        },
        { name: 'vocab_projector', out: 'vocabulary', tied: true },
      ],
    },
    {
      class: 'DistilBertForSequenceClassification',
      auto: 'AutoModelForSequenceClassification',
      reads: 'first',
      steps: [{ name: 'pre_classifier', out: 'hidden', activation: 'relu' }, classifier],
    },
    forTokens('DistilBert'),
  ],
  modules: {
    layers: 'transformer.layer',
    attention: { attention: 'NoAttention' },
    feedforward: { ffn: 'NoFeedforward' },
  },
};

/** Encoders of texts. */
export const textEncoders: readonly EncoderArchitecture[] = [
  bertLike({ modelType: 'bert', family: 'Bert', prefix: 'bert.', causal: 'BertLMHeadModel' }),
  bertLike({ modelType: 'ernie', family: 'Ernie', prefix: 'ernie.' }),
  robertaLike({ modelType: 'roberta', family: 'Roberta', prefix: 'roberta.' }),
  robertaLike({ modelType: 'xlm-roberta', family: 'XLMRoberta', prefix: 'roberta.' }),
  robertaLike({ modelType: 'camembert', family: 'Camembert', prefix: 'roberta.' }),
  robertaLike({ modelType: 'data2vec-text', family: 'Data2VecText', prefix: 'data2vec_text.' }),
  robertaPreNorm,
  electra,
  distilbert,
];
