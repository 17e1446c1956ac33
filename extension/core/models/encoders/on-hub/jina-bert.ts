import { alibiSlopes } from '../../families/shared-parts';
import type { EncoderArchitecture } from '../encoder-architecture';
import { epsilonName, bertBlocks, textDefaults, textEmbedding } from '../text-encoders';
import { fromHub } from './from-hub';
import { postNorm } from '../../modules/wiring-names';

/** Jina's BERT of its embeddings v2 (arXiv 2310.19923): ALiBi to both sides, and gated feed-forwards. */
export const jinaBert: EncoderArchitecture = {
  ...fromHub('JinaBERT'),
  modelType: 'bert',
  matchingFields: { position_embedding_type: 'alibi' },
  classes: { config: 'JinaBertConfig', model: 'JinaBertModel' },
  config: {
    names: epsilonName,
    defaults: () => textDefaults,
    // feed_forward_type overrides hidden_act.
    computed: () => ({ hidden_act: 'gelu' }),
    only: () => ({ feed_forward_type: 'geglu' }),
  },
  prefix: 'bert.',
  embedding: {
    kind: 'text',
    words: textEmbedding.words,
    types: textEmbedding.types,
    norm: textEmbedding.norm,
  },
  blocks: 'encoder.layer',
  attention: bertBlocks.attention,
  feedforward: {
    gateUp: { fused: 'mlp.gated_layers' },
    down: 'mlp.wo',
    wiring: postNorm('mlp.layernorm'),
  },
  biases: () => ({ ...bertBlocks.biases(), feedforward: false, feedforwardOutput: true }),
  slopes: ({ num_attention_heads: heads }) => alibiSlopes(heads),
  // The published folders name a class with a head, but hold none.
  heads: [],
};
