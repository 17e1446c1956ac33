import type { EncoderArchitecture } from './encoder-architecture';
import { postNorm } from '../modules/wiring-names';
import {
  allBiases,
  classifier,
  forTokens,
  layout,
  maskedHead,
  bertBlocks,
  textDefaults,
  textEmbedding,
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
