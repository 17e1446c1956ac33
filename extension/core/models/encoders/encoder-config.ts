import * as v from 'valibot';
import type { ConfigLayout } from '../transformer/model-config';
import { configEntries, parseConfig, size } from '../transformer/model-config';

const side = v.union([size, v.tuple([size, size])]);

/** Fields of an encoder's config.json that affect the computation. */
const encoderSchema = v.looseObject({
  ...configEntries,
  vocab_size: v.optional(size),
  type_vocab_size: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 2),
  is_decoder: v.nullish(v.boolean()),
  embedding_size: v.nullish(size),
  pad_token_id: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** Pixels, [height, width] or both alike. */
  image_size: v.optional(side, 224),
  patch_size: v.optional(side, 16),
  num_channels: v.optional(size, 3),
  relative_attention_num_buckets: v.optional(size, 32),
  relative_attention_max_distance: v.optional(size, 128),
  num_register_tokens: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 4),
  qkv_bias: v.optional(v.boolean(), true),
  architectures: v.nullish(v.array(v.string())),
});

export type EncoderConfig = v.InferOutput<typeof encoderSchema>;

/** @throws UserError naming the file and the field. */
export function parseEncoderConfig(
  text: string,
  file: string,
  layout: ConfigLayout,
): EncoderConfig {
  return parseConfig(encoderSchema, text, file, layout);
}

/** Height and width of an image or a patch. */
export function sides(
  value: EncoderConfig['image_size'],
): readonly [height: number, width: number] {
  return typeof value === 'number' ? [value, value] : value;
}

/** Most tokens where the sparse attention of BigBird (arXiv 2007.14062) is full attention; undefined where it always is. */
export const fullAttentionLength = ({
  attention_type: type = 'block_sparse',
  num_random_blocks: random = 3,
  block_size: size = 64,
}: Readonly<Record<string, unknown>>): number | undefined =>
  type === 'block_sparse' ? (5 + 2 * Number(random)) * Number(size) : undefined;
