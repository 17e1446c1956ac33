import type { EncoderArchitecture } from './encoder-architecture';
import { readActivation, t5Forms, t5Towers, t5Words } from '../seq2seq/t5';
import type { T5Variant } from '../seq2seq/t5';
import type { TowerNames } from '../seq2seq/seq2seq-family';

/** Names of the encoder alone; the embedding is outside its prefix. */
export const encoderNames = ({
  prefix,
  blocks,
  attention,
  feedforward,
  biasIsByBlock = false,
  distanceBias: table = '',
  finalNorm = '',
}: TowerNames): Pick<
  EncoderArchitecture,
  'blocks' | 'attention' | 'feedforward' | 'distanceBias' | 'finalNorm'
> => ({
  feedforward,
  blocks: `${prefix}${blocks}`,
  ...(biasIsByBlock
    ? { attention: { ...attention, parts: { distanceBias: { table, causal: false } } } }
    : { attention, distanceBias: { table, in: 'first-block' } }),
  finalNorm: `${prefix}${finalNorm}`,
});

/** Longest text where config.json is silent, as the models were trained. */
export const defaultLength = 512;

/** The encoder of T5 alone, as text-to-image models read their texts with it. */
function t5Encoder({
  modelType,
  family,
  projection,
  biasIsByBlock,
}: T5Variant): EncoderArchitecture {
  const { encoder } = t5Towers({}, biasIsByBlock);
  const { attention = {}, feedforward = {} } = encoder.modules;
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}EncoderModel` },
    config: {
      names: {
        hidden_size: 'd_model',
        head_dim: 'd_kv',
        num_hidden_layers: 'num_layers',
        num_attention_heads: 'num_heads',
        intermediate_size: 'd_ff',
        rms_norm_eps: 'layer_norm_epsilon',
        max_position_embeddings: 'n_positions',
      },
      defaults: () => ({
        feed_forward_proj: projection,
        max_position_embeddings: defaultLength,
        pad_token_id: 0,
      }),
      computed: ({ feed_forward_proj: given = projection }) => ({
        hidden_act: readActivation(given),
        is_decoder: false,
      }),
      // Older files store it twice.
      byBlockCount: ({ num_hidden_layers: repeated }, blocks) =>
        repeated === undefined ? {} : { num_hidden_layers: blocks },
    },
    prefix: '',
    embedding: { kind: 'text', words: t5Words[0] },
    ...encoderNames(encoder),
    form: (config) => encoderNames(t5Towers(config, biasIsByBlock).encoder),
    norm: 'rms',
    aliases: { 'shared.': 'encoder.embed_tokens.' },
    unread: ['encoder.embed_tokens.'],
    biases: () => ({ queryKeyValue: false, attentionOutput: false, feedforward: false }),
    scales: () => ({ attention: 1 }),
    heads: [],
    modules: { layers: 'encoder.block', attention, feedforward },
  };
}

export const t5Encoders: readonly EncoderArchitecture[] = t5Forms.map(t5Encoder);
