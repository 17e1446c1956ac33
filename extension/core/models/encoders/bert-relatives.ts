import type { EncoderArchitecture, HeadStep } from './encoder-architecture';
import type { EncoderConfig } from './encoder-config';
import {
  allBiases,
  bertLike,
  denseClassifier,
  forTokens,
  causalHead,
  maskedHead,
  layout,
  bertBlocks,
  robertaLike,
  robertaSteps,
  textDefaults,
  textEmbedding,
  withDenseClassifier,
} from './text-encoders';
import { fullAttentionLength } from './encoder-config';
import { preNorm, postNorm } from '../modules/wiring-names';

/** Norms before the branches, inside each branch's module. */
const preNormModules = {
  layers: bertBlocks.modules.layers,
  attention: { attention: 'SameAttention' },
  feedforward: { intermediate: 'nn.Identity', output: 'SameOutput' },
} as const;

/** Blocks of BERT with norms before the branches, and one after the last block. */
const preNormBlocks = (
  attentionNorm: string,
  norm: string,
): Pick<EncoderArchitecture, 'attention' | 'feedforward' | 'finalNorm' | 'modules'> => ({
  attention: { ...bertBlocks.attention, wiring: preNorm(attentionNorm) },
  feedforward: { ...bertBlocks.feedforward, wiring: preNorm(norm) },
  finalNorm: `encoder.${norm}`,
  modules: {
    ...preNormModules,
    feedforward: { [norm]: 'nn.Identity', ...preNormModules.feedforward },
  },
});

const unnormedEmbedding = {
  kind: 'text',
  words: textEmbedding.words,
  positions: textEmbedding.positions,
  types: textEmbedding.types,
} as const;

const withoutTypes = {
  kind: textEmbedding.kind,
  words: textEmbedding.words,
  positions: textEmbedding.positions,
  norm: textEmbedding.norm,
} as const;

const esmWords = {
  kind: 'text',
  words: textEmbedding.words,
  hiddenBy: (config: EncoderConfig) =>
    config['token_dropout'] === true ? Number(config['mask_token_id']) : undefined,
} as const;

const remBertSteps: readonly HeadStep[] = [
  {
    name: 'cls.predictions.dense',
    out: 'stored',
    activation: 'hidden_act',
    norm: 'cls.predictions.LayerNorm',
  },
  { name: 'cls.predictions.decoder', out: 'vocabulary' },
];

const tapas = bertLike({ modelType: 'tapas', family: 'Tapas', prefix: 'tapas.', causal: 'none' });

const longformer = robertaLike({
  modelType: 'longformer',
  family: 'Longformer',
  prefix: 'longformer.',
  causal: 'none',
});

/** Encoders with the tensor names of BERT or RoBERTa, and their own norms, embeddings or heads. */
export const bertRelatives: readonly EncoderArchitecture[] = [
  {
    ...bertLike({ modelType: 'megatron-bert', family: 'MegatronBert', prefix: 'bert.' }),
    ...preNormBlocks('attention.ln', 'ln'),
    embedding: unnormedEmbedding,
  },
  {
    ...robertaLike({ modelType: 'xlm-roberta-xl', family: 'XLMRobertaXL', prefix: 'roberta.' }),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, rms_norm_eps: 1e-5, pad_token_id: 1 }),
    },
    ...preNormBlocks('attention.self_attn_layer_norm', 'LayerNorm'),
    embedding: { ...unnormedEmbedding, positionsSkipPadding: true },
  },
  {
    ...bertLike({ modelType: 'rembert', family: 'RemBert', prefix: 'rembert.' }),
    config: {
      ...layout,
      names: { ...layout.names, embedding_size: 'input_embedding_size' },
      defaults: () => ({ ...textDefaults, embedding_size: 256, tie_word_embeddings: false }),
    },
    embedding: {
      ...textEmbedding,
      projection: { name: 'encoder.embedding_hidden_mapping_in', bias: true, always: true },
    },
    heads: [maskedHead('RemBert', remBertSteps), causalHead('RemBert', remBertSteps)],
  },
  {
    ...withDenseClassifier({ modelType: 'roformer', family: 'RoFormer', prefix: 'roformer.' }),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, max_position_embeddings: 1536 }),
      only: () => ({ rotary_value: false, add_cross_attention: false }),
    },
    embedding: {
      kind: 'text',
      words: textEmbedding.words,
      types: textEmbedding.types,
      norm: textEmbedding.norm,
      projection: { name: 'embeddings_project', bias: true },
    },
    rotary: 'shared',
    interleavedRotary: true,
  },
  {
    ...withDenseClassifier({ modelType: 'big_bird', family: 'BigBird', prefix: 'bert.' }),
    config: {
      ...layout,
      defaults: () => ({
        ...textDefaults,
        hidden_act: 'gelu_new',
        max_position_embeddings: 4096,
        use_bias: true,
      }),
      only: () => ({ add_cross_attention: false, use_bias: true, rescale_embeddings: false }),
    },
    maxPositions: fullAttentionLength,
    modules: { ...bertBlocks.modules, attention: { attention: 'KeptSparseNorm' } },
  },
  {
    ...bertLike({ modelType: 'layoutlm', family: 'LayoutLM', prefix: 'layoutlm.', causal: 'none' }),
    embedding: {
      ...textEmbedding,
      firstRows: ['x', 'y', 'x', 'y', 'h', 'w'].map(
        (axis) => `embeddings.${axis}_position_embeddings`,
      ),
    },
  },
  {
    ...tapas,
    // Of tokens there is no classifier.
    heads: tapas.heads.filter(({ auto }) => auto !== 'AutoModelForTokenClassification'),
    embedding: {
      ...withoutTypes,
      firstRows: Array.from({ length: 7 }, (__, i) => `embeddings.token_type_embeddings_${i}`),
    },
  },
  {
    ...robertaLike({ modelType: 'luke', family: 'Luke', prefix: 'luke.', causal: 'none' }),
    heads: [
      maskedHead('Luke', [
        ...robertaSteps.slice(0, 1),
        { name: 'lm_head.decoder', out: 'vocabulary', tied: true },
      ]),
    ],
  },
  {
    ...longformer,
    // Its classifier of texts has the first token attend to all.
    heads: longformer.heads.filter(({ reads }) => reads === 'all'),
    config: {
      ...layout,
      defaults: () => ({ ...textDefaults, pad_token_id: 1, attention_window: 512 }),
      perBlock: ['attention_window'],
    },
    slidingWindow: ({ attention_window: window }, block) =>
      Number(Array.isArray(window) ? window[block] : window) / 2,
  },
  {
    ...robertaLike({ modelType: 'mpnet', family: 'MPNet', prefix: 'mpnet.', causal: 'none' }),
    config: {
      ...layout,
      defaults: () => textDefaults,
      // Overrides the file, because the embedding ignores it.
      computed: () => ({ pad_token_id: 1, relative_attention_max_distance: 128 }),
      only: () => ({ relative_attention_num_buckets: 32 }),
    },
    embedding: { ...withoutTypes, positionsSkipPadding: true },
    attention: {
      queryKeyValue: ['attention.attn.q', 'attention.attn.k', 'attention.attn.v'],
      output: 'attention.attn.o',
      wiring: postNorm('attention.LayerNorm'),
    },
    distanceBias: { table: 'encoder.relative_attention_bias', in: 'model' },
    modules: { ...bertBlocks.modules, attention: { 'attention.attn': 'NoAttention' } },
    heads: [
      maskedHead('MPNet', robertaSteps),
      {
        class: 'MPNetForSequenceClassification',
        auto: 'AutoModelForSequenceClassification',
        reads: 'first',
        steps: denseClassifier('tanh'),
      },
      forTokens('MPNet'),
    ],
  },
  {
    ...robertaLike({ modelType: 'esm', family: 'Esm', prefix: 'esm.', causal: 'none' }),
    config: {
      ...layout,
      defaults: () => ({
        ...textDefaults,
        max_position_embeddings: 1026,
        pad_token_id: 1,
        position_embedding_type: 'absolute',
      }),
      only: () => ({ add_cross_attention: false, emb_layer_norm_before: false }),
    },
    sizedByBlocks: ['contact_head.regression.weight', 'contact_head.regression.bias'],
    embedding: {
      ...esmWords,
      positions: textEmbedding.positions,
      positionsSkipPadding: true,
    },
    attention: { ...bertBlocks.attention, wiring: preNorm('attention.LayerNorm') },
    feedforward: { ...bertBlocks.feedforward, wiring: preNorm('LayerNorm') },
    finalNorm: 'encoder.emb_layer_norm_after',
    form: ({ position_embedding_type: type }) =>
      type === 'rotary' ? { rotary: 'shared', embedding: esmWords } : {},
    heads: [maskedHead('Esm', robertaSteps)],
    modules: {
      layers: 'encoder.layer',
      attention: { attention: 'SameStates' },
      feedforward: { LayerNorm: 'nn.Identity', ...preNormModules.feedforward },
    },
  },
  {
    ...bertLike({ modelType: 'git', family: 'Git', prefix: 'git.', causal: 'none' }),
    causal: true,
    embedding: withoutTypes,
    heads: [causalHead('Git', [{ name: 'output', out: 'vocabulary', tied: true }])],
  },
  {
    ...bertLike({
      modelType: 'bert-generation',
      family: 'BertGeneration',
      prefix: 'bert.',
      causal: 'none',
    }),
    classes: { config: 'BertGenerationConfig', model: 'BertGenerationEncoder' },
    embedding: withoutTypes,
    biases: () => allBiases,
    heads: [
      causalHead(
        'BertGeneration',
        [{ name: 'lm_head.decoder', bias: 'lm_head.bias', out: 'vocabulary', tied: true }],
        'BertGenerationDecoder',
      ),
    ],
  },
];
