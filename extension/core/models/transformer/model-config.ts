import * as v from 'valibot';
import { parseJson, parseJsonText } from '../../parse-json';
import { UserError } from '../../user-error';
import { compressedEncodings } from '../encodings/encoding-spec';
import { patchSpecs } from '../patch/symbolic-patch';
import { say } from '../../message';
import type { ErrorCode } from '../../error-codes';
import type { Message } from '../../message';

/** Schema of a size in config.json: an integer of at least 1. */
export const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const optionalSize = v.nullish(size);
const positive = v.pipe(v.number(), v.gtValue(0));

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
  beta_fast: v.nullish(v.number()),
  beta_slow: v.nullish(v.number()),
  truncate: v.nullish(v.boolean()),
  mscale: v.nullish(v.number()),
  mscale_all_dim: v.nullish(v.number()),
  llama_4_scaling_beta: v.nullish(v.number()),
  mrope_section: v.nullish(v.array(v.number())),
  short_factor: v.optional(v.array(v.number())),
  long_factor: v.optional(v.array(v.number())),
});

/** Like {@link ropeSchema}, or one per layer type. */
const ropesSchema = v.looseObject({
  ...ropeSchema.entries,
  full_attention: v.optional(ropeSchema),
  sliding_attention: v.optional(ropeSchema),
});

/** Fields of config.json that affect the computation; all others are kept but not read. */
export const configEntries = {
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
  rope_parameters: v.nullish(ropesSchema),
  partial_rotary_factor: v.optional(v.number()),
  original_max_position_embeddings: optionalSize,
  sliding_window: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  use_sliding_window: v.optional(v.boolean()),
  max_window_layers: v.optional(v.number()),
  layer_types: v.nullish(v.array(v.string())),
  sliding_window_pattern: optionalSize,
  rope_local_base_freq: v.optional(v.number()),
  use_bias: v.optional(v.boolean(), true),
  use_qkv_bias: v.optional(v.boolean(), false),
  enable_bias: v.optional(v.boolean(), true),
  query_pre_attn_scalar: v.nullish(positive),
  attn_logit_softcapping: v.nullish(positive),
  final_logit_softcapping: v.nullish(positive),
  embedding_multiplier: v.optional(v.number(), 1),
  residual_multiplier: v.optional(v.number(), 1),
  attention_multiplier: v.optional(v.number(), 1),
  logits_scaling: v.optional(positive, 1),
  logit_scale: v.nullish(v.number(), 0.0625),
  use_parallel_residual: v.optional(v.boolean()),
  qk_layernorm: v.optional(v.boolean()),
  use_qk_norm: v.optional(v.boolean()),
  no_rope_layers: v.nullish(v.array(v.number())),
  clip_qkv: v.nullish(positive),
  word_embed_proj_dim: optionalSize,
  rotary_dim: optionalSize,
  attention_out_bias: v.optional(v.boolean(), false),
  use_post_norm: v.optional(v.boolean(), true),
  scale_embedding: v.optional(v.boolean(), true),
  alibi: v.optional(v.boolean(), false),
  multi_query: v.optional(v.boolean(), true),
  shared_expert_intermediate_size: optionalSize,
  shared_intermediate_size: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  n_shared_experts: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  routed_scaling_factor: v.optional(v.number(), 1),
  q_lora_rank: optionalSize,
  kv_lora_rank: optionalSize,
  qk_nope_head_dim: optionalSize,
  qk_rope_head_dim: optionalSize,
  v_head_dim: optionalSize,
  n_group: optionalSize,
  topk_group: optionalSize,
  bias: v.optional(v.boolean(), false),
  new_decoder_architecture: v.optional(v.boolean(), false),
  parallel_attn: v.optional(v.boolean(), true),
  num_ln_in_parallel_attn: optionalSize,
  num_experts: v.nullish(size, 8),
  num_experts_per_tok: v.optional(size, 2),
  moe_intermediate_size: v.nullish(size, 768),
  norm_topk_prob: v.optional(v.boolean(), false),
  decoder_sparse_step: v.optional(size, 1),
  mlp_only_layers: v.nullish(v.array(v.number())),
  quantization_config: v.nullish(v.looseObject({})),
  /** Linear layers with a bias, for GGUF files. */
  gguf_biases: v.optional(
    v.object({
      queryKeyValue: v.boolean(),
      attentionOutput: v.boolean(),
      feedforward: v.boolean(),
      feedforwardOutput: v.boolean(),
    }),
  ),
  /** Set when a model of an unknown type is opened as a similar family. */
  espalier_guess: v.optional(
    v.looseObject({
      family: v.string(),
      /** Perplexity of a short text, and of the same tokens in random order. */
      perplexity: v.optional(v.number()),
      shuffled: v.optional(v.number()),
    }),
  ),
  /**
   * Written by Espalier: removed sublayers, expert counts of blocks that differ from the model's, reduced MLP channels
   * and key/value heads, and encodings of matrices that are not dense.
   */
  espalier: v.optional(
    v.looseObject({
      removed: v.array(v.string()),
      experts: v.optional(v.record(v.string(), size)),
      widths: v.optional(v.record(v.string(), size)),
      compressed: v.optional(compressedEncodings),
      patches: v.optional(patchSpecs),
    }),
  ),
};
const configSchema = v.looseObject(configEntries);

export type ModelConfig = v.InferOutput<typeof configSchema>;
export type RopeConfig = v.InferOutput<typeof ropeSchema>;

/** Fields of a config.json by name. */
export type ConfigFields = Readonly<Record<string, unknown>>;

/**
 * Fields that are always at the top level, even if `nested` names an object that holds the others.
 */
export const outsideNested: readonly string[] = [
  'model_type',
  'architectures',
  'auto_map',
  'quantization_config',
  'espalier',
];

/** Merges the fields of `nested` into the top level. On conflicts, `nested` wins. */
export function flattened(config: ConfigFields, nested: string | undefined): ConfigFields {
  const inner = nested === undefined ? undefined : config[nested];
  if (typeof inner !== 'object' || inner === null) {
    return config;
  }
  const topLevelFields = outsideNested.map((field) => [field, config[field]] as const);
  return {
    ...config,
    ...inner,
    ...Object.fromEntries(topLevelFields.filter(([, value]) => value !== undefined)),
    // A head that is not stored is tied, whichever part says so.
    ...(config['tie_word_embeddings'] === true ? { tie_word_embeddings: true } : {}),
  };
}

/** An invalid field, and how to fix it. */
export interface ConfigFault {
  readonly field: string;
  readonly code: ErrorCode;
  readonly problem: Message;
  readonly remedy: Message;
}

/** Deviations of a family's config.json from the default layout. */
export interface ConfigLayout {
  /** Field that contains all others, except `model_type` and those added by Espalier or a quantizer. */
  readonly nested?: string;
  /** The family's names of default fields. */
  readonly names?: Readonly<Record<string, string>>;
  /** Defaults of the family's configuration class. */
  readonly defaults?: (config: ConfigFields) => ConfigFields;
  /** Defaults of lists with an entry per block. */
  readonly lists?: Readonly<Record<string, (config: ConfigFields, block: number) => unknown>>;
  /** Lists with an entry per block that are not named after layers. */
  readonly perBlock?: readonly string[];
  /** Fields that change with the number of blocks. */
  readonly byBlockCount?: (config: ConfigFields, blocks: number) => ConfigFields;
  /** Fields computed from others, which override the file. */
  readonly computed?: (config: ConfigFields) => ConfigFields;
  /** Meaning of values that are misleading, by field. */
  readonly meant?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Fields that refer to block numbers, for the remaining blocks; undefined if they can't express the selection. */
  readonly pruned?: (config: ConfigFields, blocks: readonly number[]) => ConfigFields | undefined;
  /** Why `pruned` can fail, as a sentence, if block kinds are described by more than periods. */
  readonly pruningProblem?: Message;
  /** True if no field counts all blocks and `pruned` sets the number of remaining blocks. */
  readonly isUnnumbered?: boolean;
  /** Returns an invalid field, if any. */
  readonly fault?: (config: ConfigFields) => ConfigFault | undefined;
  /** Fields that have one known value each, or a list of them; a config.json with another is refused. */
  readonly only?: (config: ConfigFields) => ConfigFields;
}

/**
 * Parses the text of a config.json, whose fields may have other names and defaults in `layout`.
 * @throws UserError naming the file and the field.
 */
export function parseModelConfig(
  text: string,
  file: string,
  layout: ConfigLayout = {},
): ModelConfig {
  return parseConfig(configSchema, text, file, layout);
}

/** Like {@link parseModelConfig}, with additional fields. */
export function parseConfig<T extends { readonly model_type: string }>(
  schema: v.GenericSchema<unknown, T>,
  text: string,
  file: string,
  layout: ConfigLayout,
): T {
  const json = parseJson(text, file, say`Correct or download config.json again.`);
  const isRecord = typeof json === 'object' && json !== null;
  const fault = isRecord ? layout.fault?.({ ...json }) : undefined;
  if (fault !== undefined) {
    const { code, problem, ...place } = fault;
    throw new UserError(code, problem, { file, ...place });
  }
  const fields = isRecord ? translate(json, layout) : json;
  const result = v.safeParse(schema, fields);
  if (!result.success) {
    const [issue] = result.issues;
    const field = v.getDotPath(issue) ?? 'config';
    throw new UserError('field-invalid', say`${issue.message}.`, {
      file,
      field: layout.names?.[field] ?? field,
      remedy: say`Correct the field: the model can't run without it.`,
    });
  }
  refuseOtherForms(result.output, file, layout);
  return result.output;
}

/** Renames fields to their standard names, and adds defaults of the family's configuration class. */
function translate(json: object, layout: ConfigLayout): ConfigFields {
  const fields: Record<string, unknown> = { ...flattened({ ...json }, layout.nested) };
  for (const [usual, own] of Object.entries(layout.names ?? {})) {
    if (fields[own] !== null && fields[own] !== undefined) {
      fields[usual] = fields[own];
    }
  }
  for (const [field, meanings] of Object.entries(layout.meant ?? {})) {
    const meaning = meanings[String(fields[field])];
    if (meaning !== undefined) {
      fields[field] = meaning;
    }
  }
  const given: ConfigFields = { ...layout.defaults?.(fields), ...fields };
  return { ...given, ...missingLists(given, layout), ...layout.computed?.(fields) };
}

/** More blocks than this are no model, but a damaged config. */
const maxBlocks = 10_000;

/** The lists of a family that config.json does not have. */
function missingLists(config: ConfigFields, { lists = {} }: ConfigLayout): ConfigFields {
  const { num_hidden_layers: blocks } = config;
  const length = typeof blocks === 'number' ? Math.min(maxBlocks, Math.max(0, blocks)) : 0;
  const missing = Object.entries(lists).filter(([field]) => !Array.isArray(config[field]));
  return Object.fromEntries(
    missing.map(([field, valueOf]) => [
      field,
      Array.from({ length }, (_, block) => valueOf(config, block)),
    ]),
  );
}

function refuseOtherForms(
  config: { readonly model_type: string },
  file: string,
  layout: ConfigLayout,
): void {
  const fields: ConfigFields = { ...config };
  for (const [field, known] of Object.entries(layout.only?.(fields) ?? {})) {
    const choices: readonly unknown[] = Array.isArray(known) ? known : [known];
    const value = fields[field] ?? choices[0];
    if (!choices.includes(value)) {
      throw new UserError(
        'config-value-unsupported',
        say`${config.model_type} models with ${JSON.stringify(value)} here are not supported yet, only with ${choices.map((one) => JSON.stringify(one)).join(' or ')}.`,
        { file, field, remedy: say`Choose another model: the weights depend on this value.` },
      );
    }
  }
}

/** `model_type` alone, so that an unknown architecture is named before its fields are judged. */
export function readModelType(text: string): string | undefined {
  try {
    const json: unknown = parseJsonText(text);
    const type = (json as { model_type?: unknown } | null)?.model_type;
    return typeof type === 'string' ? type : undefined;
  } catch {
    return undefined;
  }
}

/** Prefix of `model_type` in folders that Espalier has written; see export/. */
export const prunedTypePrefix = 'espalier-';

/** `model_type` before Espalier pruned the model. */
export function baseModelType(modelType: string): string {
  return modelType.startsWith(prunedTypePrefix)
    ? modelType.slice(prunedTypePrefix.length)
    : modelType;
}
