import type { Architecture } from '../transformer/architecture';
import type { GgufKeys } from './gguf-keys';
import type { GgufTraits } from './gguf-traits';
import { readBlockCount } from './gguf-blocks';

/** GGUF keys by the equivalent field of config.json. */
export const ggufFields = {
  vocab_size: 'vocab_size',
  hidden_size: 'embedding_length',
  num_hidden_layers: 'block_count',
  num_attention_heads: 'attention.head_count',
  num_key_value_heads: 'attention.head_count_kv',
  head_dim: 'attention.key_length',
  intermediate_size: 'feed_forward_length',
  max_position_embeddings: 'context_length',
  rms_norm_eps: 'attention.layer_norm_rms_epsilon',
  sliding_window: 'attention.sliding_window',
  attn_logit_softcapping: 'attn_logit_softcapping',
  final_logit_softcapping: 'final_logit_softcapping',
  num_experts: 'expert_count',
  num_experts_per_tok: 'expert_used_count',
  moe_intermediate_size: 'expert_feed_forward_length',
  shared_expert_intermediate_size: 'expert_shared_feed_forward_length',
} as const;

/** Says of each block whether it is windowed, or of how many the last is not. */
export const windowPattern = 'attention.sliding_window_pattern';

export const layerNormEpsilon = 'attention.layer_norm_epsilon';

/** True if norms are RMS norms, in families that may use either kind. */
export const hasRms = (keys: GgufKeys): boolean =>
  (keys.numberIfPresent(ggufFields.rms_norm_eps) ?? 0) > 0;

/** Keys of a family by field: a layer norm has another, and some fields are the family's own. */
export function fieldKeys(
  { norm }: Architecture,
  { fields = {} }: GgufTraits,
): Readonly<Record<string, string>> {
  const isLayerNorm = norm.startsWith('layer');
  return {
    ...ggufFields,
    ...(isLayerNorm ? { rms_norm_eps: layerNormEpsilon } : {}),
    ...fields,
  };
}

/** Sections of the rotary dimensions for image positions. */
export const rotarySections = 'rope.dimension_sections';

/** Bound on the absolute values of queries, keys and values. */
export const clampKey = 'attention.clamp_kqv';

/** Number of blocks in front without experts. */
export const denseBlocks = 'leading_dense_block_count';

/** Number of groups that routers choose experts from. */
export const expertGroups = 'expert_group_count';

/** Size of the values of heads. */
export const valueLength = 'attention.value_length';

/** Rank of the query latent. */
export const queryLatent = 'attention.q_lora_rank';

/** Key and values for the function from router scores to expert weights. */
export const gatingKey = 'expert_gating_func';
/** Value of `expert_gating_func` for softmax. */
export const softmax = 1;
/** Value of `expert_gating_func` for sigmoid. */
export const sigmoid = 2;

/** Sizes that identify files of GLM-4.7-Flash, which lack the key (src/models/deepseek2.cpp). */
const flash = { architecture: 'deepseek2', blocks: [47, 48], vocabulary: 154_880 } as const;

/** Returns the gating function; undefined if the file does not say it and the architecture decides. */
export function readGating(keys: GgufKeys): number | undefined {
  const isFlash =
    keys.architecture === flash.architecture &&
    flash.blocks.some((count) => count === readBlockCount(keys)) &&
    keys.numberIfPresent(ggufFields.vocab_size) === flash.vocabulary;
  return keys.numberIfPresent(gatingKey) ?? (isFlash ? sigmoid : undefined);
}
