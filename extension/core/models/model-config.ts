import * as v from 'valibot';
import { UserError } from '../user-error';

const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const optionalSize = v.nullish(size);

const ropeSchema = v.looseObject({
  rope_type: v.optional(v.string()),
  /** The key that transformers used before `rope_type`. */
  type: v.optional(v.string()),
  rope_theta: v.optional(v.number()),
  partial_rotary_factor: v.optional(v.number()),
  factor: v.optional(v.number()),
  low_freq_factor: v.optional(v.number()),
  high_freq_factor: v.optional(v.number()),
  original_max_position_embeddings: v.optional(v.number()),
  attention_factor: v.nullish(v.number()),
  short_factor: v.optional(v.array(v.number())),
  long_factor: v.optional(v.array(v.number())),
});

/** The fields of config.json that say what to compute; all others are kept but not read. */
const configSchema = v.looseObject({
  model_type: v.string(),
  vocab_size: size,
  hidden_size: size,
  num_hidden_layers: v.pipe(v.number(), v.integer(), v.minValue(0)),
  num_attention_heads: size,
  num_key_value_heads: optionalSize,
  head_dim: optionalSize,
  intermediate_size: size,
  hidden_act: v.optional(v.string(), 'silu'),
  max_position_embeddings: v.optional(size, 2048),
  rms_norm_eps: v.optional(v.number(), 1e-6),
  tie_word_embeddings: v.optional(v.boolean(), false),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
  rope_theta: v.optional(v.number()),
  rope_scaling: v.nullish(ropeSchema),
  rope_parameters: v.nullish(ropeSchema),
  partial_rotary_factor: v.optional(v.number()),
  original_max_position_embeddings: optionalSize,
  sliding_window: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  use_sliding_window: v.optional(v.boolean()),
  max_window_layers: v.optional(v.number()),
  layer_types: v.nullish(v.array(v.string())),
  quantization_config: v.nullish(v.looseObject({ quant_method: v.optional(v.string()) })),
  /** Written by Espalier: sublayers that this checkpoint lacks. */
  espalier: v.optional(v.looseObject({ removed: v.array(v.string()) })),
});

export type ModelConfig = v.InferOutput<typeof configSchema>;
export type RopeConfig = v.InferOutput<typeof ropeSchema>;

/**
 * Parses the text of a config.json.
 * @throws UserError naming the file and the field.
 */
export function parseModelConfig(text: string, file: string): ModelConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`The file is not JSON: ${(error as Error).message}.`, {
      file,
      remedy: 'Mend or download config.json again.',
    });
  }
  const result = v.safeParse(configSchema, json);
  if (result.success) {
    return result.output;
  }
  const [issue] = result.issues;
  throw new UserError(`${issue.message}.`, {
    file,
    field: v.getDotPath(issue) ?? 'config',
    remedy: 'Mend the field: the model cannot be computed without it.',
  });
}

/** `model_type` alone, so that an unknown architecture is named before its fields are judged. */
export function readModelType(text: string): string | undefined {
  try {
    const json: unknown = JSON.parse(text);
    const type = (json as { model_type?: unknown } | null)?.model_type;
    return typeof type === 'string' ? type : undefined;
  } catch {
    return undefined;
  }
}
