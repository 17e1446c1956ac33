import { layerNormEpsilon } from './gguf-fields';
import type { GgufFamily } from './gguf-traits';

/** Keys that only T5 has. */
export const t5Keys = {
  decoderBlocks: 'decoder_block_count',
  start: 'decoder_start_token_id',
  buckets: 'attention.relative_buckets_count',
} as const;

/** Distance from which on llama.cpp treats all distances as equal (`llama_relative_position_bucket`). */
export const farthestInGguf = 128;

const common = {
  modelType: 't5',
  alsoFrom: ['mt5', 'umt5'],
  names: { 'attention.output': 'attn_o' },
  activations: ['relu', 'gelu_new'],
  header: ({ rms_norm_eps: epsilon }) => ({ [layerNormEpsilon]: epsilon }),
} as const satisfies GgufFamily;

/** T5, and its encoder alone (src/models/t5.cpp, t5encoder.cpp). */
export const t5GgufFamilies = {
  t5: {
    ...common,
    towers: ['enc.', 'dec.'],
    fields: {
      relative_attention_num_buckets: t5Keys.buckets,
      decoder_layers: t5Keys.decoderBlocks,
      decoder_start_token_id: t5Keys.start,
    },
  },
  t5encoder: {
    ...common,
    towers: ['enc.'],
    fields: { relative_attention_num_buckets: t5Keys.buckets },
  },
} as const satisfies Readonly<Record<string, GgufFamily>>;
