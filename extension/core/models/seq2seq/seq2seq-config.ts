import * as v from 'valibot';
import { compressedEncodings } from '../encodings/encoding-spec';
import { configEntries, parseConfig, size } from '../transformer/model-config';
import type { ConfigLayout } from '../transformer/model-config';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const id = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0)));

/** Fields of an encoder–decoder model's config.json that affect the computation, with BART's names. */
const seq2seqSchema = v.looseObject({
  model_type: v.string(),
  architectures: v.nullish(v.array(v.string())),
  vocab_size: size,
  /** Size of the target vocabulary, if it differs from the source's. */
  decoder_vocab_size: v.nullish(size),
  share_encoder_decoder_embeddings: v.optional(v.boolean(), true),
  hidden_size: size,
  head_dim: configEntries.head_dim,
  encoder_layers: count,
  decoder_layers: count,
  encoder_attention_heads: size,
  decoder_attention_heads: size,
  encoder_ffn_dim: size,
  decoder_ffn_dim: size,
  hidden_act: configEntries.hidden_act,
  rms_norm_eps: configEntries.rms_norm_eps,
  /** Maximum number of source and target tokens. Unlimited with relative position biases. */
  max_position_embeddings: v.nullish(size),
  max_source_positions: v.nullish(size),
  num_mel_bins: v.optional(size, 80),
  relative_attention_num_buckets: v.optional(size, 32),
  relative_attention_max_distance: v.optional(size, 128),
  /** Bias of attention projections. */
  use_bias: v.optional(v.boolean(), true),
  scale_embedding: v.optional(v.boolean(), false),
  scale_decoder_outputs: v.nullish(v.boolean()),
  tie_word_embeddings: v.optional(v.boolean(), true),
  /** First token of the decoder's input. */
  decoder_start_token_id: id,
  pad_token_id: id,
  espalier: v.optional(
    v.looseObject({
      removed: v.array(v.string()),
      compressed: v.optional(compressedEncodings),
      widths: v.optional(v.record(v.string(), count)),
    }),
  ),
});

export type Seq2SeqConfig = v.InferOutput<typeof seq2seqSchema>;

/** @throws UserError naming the file and the field. */
export function parseSeq2SeqConfig(
  text: string,
  file: string,
  layout: ConfigLayout,
): Seq2SeqConfig {
  return parseConfig(seq2seqSchema, text, file, layout);
}
