import { noBiases } from '../../families/shared-parts';
import type { EncoderArchitecture } from '../encoder-architecture';
import { fromHub } from './from-hub';
import { preNorm } from '../../modules/wiring-names';

/** Size of the groups that MLP channels are removed in. */
const innerGroup = 8;

/** NeoBERT (arXiv 2502.19587). */
export const neoBert: EncoderArchitecture = {
  ...fromHub('NeoBERT'),
  modelType: 'neobert',
  classes: { config: 'NeoBERTConfig', model: 'NeoBERT' },
  config: {
    names: { rms_norm_eps: 'norm_eps', max_position_embeddings: 'max_length' },
    defaults: () => ({ rms_norm_eps: 1e-6, max_position_embeddings: 4096 }),
    computed: () => ({ hidden_act: 'silu', tie_word_embeddings: false }),
  },
  prefix: 'model.',
  embedding: { kind: 'text', words: 'encoder' },
  blocks: 'transformer_encoder',
  norm: 'rms',
  attention: {
    wiring: preNorm('attention_norm'),
    queryKeyValue: { fused: 'qkv', order: 'by-group' },
    output: 'wo',
  },
  feedforward: {
    wiring: preNorm('ffn_norm'),
    gateUp: { fused: 'ffn.w12' },
    down: 'ffn.w3',
  },
  // Three matrices of this width have as many weights as two of what config.json says.
  innerSize: ({ intermediate_size: size }) =>
    innerGroup * Math.ceil(Math.trunc((2 * size) / 3) / innerGroup),
  biases: noBiases,
  rotary: 'shared',
  interleavedRotary: true,
  finalNorm: 'layer_norm',
  heads: [
    {
      class: 'NeoBERTLMHead',
      auto: 'AutoModelForMaskedLM',
      reads: 'all',
      steps: [{ name: 'decoder', out: 'vocabulary' }],
    },
  ],
};
