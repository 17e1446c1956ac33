import type { GgufHeader } from '../../checkpoints/gguf';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Architecture, Biases } from '../transformer/architecture';
import { readBlockCount, readDeciBlocks, readSameBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import { readMixed } from './gguf-mixers';
import { describeRotary } from './gguf-rotary';
import type { GgufTraits, GgufWindows } from './gguf-traits';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Keys of a family by the field of config.json that says the same. */
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

/** Keys of a family by field: a layer norm has another, and some fields are the family's own. */
export function keysOfFields(
  { norm }: Architecture,
  { fields = {} }: GgufTraits,
): Readonly<Record<string, string>> {
  const isLayerNorm = norm.startsWith('layer');
  return {
    ...ggufFields,
    ...(isLayerNorm ? { rms_norm_eps: 'attention.layer_norm_epsilon' } : {}),
    ...fields,
  };
}

export interface GgufConfig extends Readonly<Record<string, unknown>> {
  readonly head_dim: number;
}

/**
 * What a header says, in the fields of config.json.
 * @throws UserError naming the key at fault.
 */
export async function describeGguf(
  keys: GgufKeys,
  header: GgufHeader,
  traits: GgufTraits,
  keyOf: Readonly<Record<string, string>>,
): Promise<GgufConfig> {
  const { windows, mayLackSublayers = false, fields = {} } = traits;
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const hiddenSize = keys.number(ggufFields.hidden_size);
  const blocks = readBlockCount(keys);
  const { heads, keyValueHeads, innerSize, absent, widths, keyValueHeadsOf } = mayLackSublayers
    ? { ...(await readDeciBlocks(keys, blocks)), keyValueHeadsOf: [] }
    : await readSameBlocks(keys);
  const mixed = await readMixed(keys, traits, keyValueHeadsOf);
  const latent = traits.isLatent === true ? describeLatent(keys) : undefined;
  const headDim =
    latent?.qk_rope_head_dim ?? keys.numberIfPresent(ggufFields.head_dim) ?? hiddenSize / heads;
  if (!Number.isInteger(headDim)) {
    keys.fault(
      keys.name(ggufFields.num_attention_heads),
      say`${heads} heads cannot share a width of ${hiddenSize} evenly.`,
    );
  }
  const valueDim = keys.numberIfPresent('attention.value_length') ?? headDim;
  if (valueDim !== headDim && latent === undefined) {
    keys.fault(
      keys.name('attention.value_length'),
      say`Values of ${valueDim} with keys of ${headDim} are not supported.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
  refuseWindow(keys, traits);
  return {
    vocab_size:
      tensors.get('token_embd.weight')?.shape[0] ?? keys.numberIfPresent(ggufFields.vocab_size),
    hidden_size: hiddenSize,
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: headDim,
    intermediate_size: innerSize,
    max_position_embeddings: keys.number(ggufFields.max_position_embeddings),
    rms_norm_eps: keys.number(keyOf['rms_norm_eps'] ?? ggufFields.rms_norm_eps),
    attn_logit_softcapping: keys.numberIfPresent(ggufFields.attn_logit_softcapping),
    final_logit_softcapping: keys.numberIfPresent(ggufFields.final_logit_softcapping),
    tie_word_embeddings: !tensors.has('output.weight'),
    gguf_biases: biasesOf(tensors, mixed?.indexOf(false) ?? 0),
    ...describeOwn(keys, fields),
    ...latent,
    ...(mixed && {
      layer_types: mixed.map((isMixed) => (isMixed ? traits.mixed : 'full_attention')),
    }),
    ...describeBranches(traits, tensors),
    ...describeExperts(keys, traits, tensors),
    ...(absent.length + Object.keys(widths).length === 0
      ? {}
      : { espalier: { removed: absent, widths } }),
    ...(windows === undefined
      ? {}
      : {
          ...(await describeWindows(keys, windows, blocks)),
          query_pre_attn_scalar: blocks === windows.scaledByWidthAt ? hiddenSize / heads : headDim,
        }),
    rope_parameters: await describeRotary(keys, headDim, tensors, traits),
    ...traits.settled,
  };
}

const queryLatent = 'attention.q_lora_rank';

/** Sizes of latent attention; older files say those of whole heads under the usual keys. */
function describeLatent(
  keys: GgufKeys,
): Readonly<
  Record<'kv_lora_rank' | 'qk_rope_head_dim' | 'qk_nope_head_dim' | 'v_head_dim', number>
> & { readonly q_lora_rank: number | null } {
  const size = (key: string): number =>
    keys.numberIfPresent(`attention.${key}_mla`) ?? keys.number(`attention.${key}`);
  const turned = keys.number('rope.dimension_count');
  return {
    q_lora_rank: keys.numberIfPresent(queryLatent) ?? null,
    kv_lora_rank: keys.number('attention.kv_lora_rank'),
    qk_rope_head_dim: turned,
    qk_nope_head_dim: size('key_length') - turned,
    v_head_dim: size('value_length'),
  };
}

/** llama.cpp computes OLMo 3 as a windowed olmo2, for one. */
function refuseWindow(keys: GgufKeys, { windows, fields = {} }: GgufTraits): void {
  const size = keys.numberIfPresent(ggufFields.sliding_window) ?? 0;
  if (size > 0 && windows === undefined && fields['sliding_window'] === undefined) {
    keys.fault(
      keys.name(ggufFields.sliding_window),
      say`Sliding windows are not supported in ${keys.architecture} files.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
}

/** Which linear layers of a block with attention have a bias: those of the others are alike. */
function biasesOf(tensors: ReadonlyMap<string, LazyTensor>, block: number): Biases {
  const has = (...parts: readonly string[]): boolean =>
    parts.some((part) => tensors.has(`blk.${block}.${part}.bias`));
  return {
    queryKeyValue: has('attn_q', 'attn_qkv'),
    attentionOutput: has('attn_output'),
    feedforward: has('ffn_up'),
    feedforwardOutput: has('ffn_down'),
  };
}

/** Fields that the family alone has. A window of 0 stands for none. */
function describeOwn(
  keys: GgufKeys,
  fields: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const entries = Object.entries(fields).map(([field, key]) => [field, keys.valueIfPresent(key)]);
  return Object.fromEntries(
    entries.filter(([field, value]) => field !== 'sliding_window' || value !== 0),
  ) as Record<string, unknown>;
}

/** What llama.cpp tells from the tensors, whatever the keys say. */
function describeBranches(
  { parallelWithoutNorm = false }: GgufTraits,
  tensors: ReadonlyMap<string, LazyTensor>,
): Record<string, boolean> {
  return {
    ...(parallelWithoutNorm
      ? { use_parallel_residual: !tensors.has('blk.0.ffn_norm.weight') }
      : {}),
    ...(tensors.has('blk.0.attn_q_norm.weight') ? { use_qk_norm: true, qk_layernorm: true } : {}),
  };
}

/** Number of blocks in front without experts. */
export const denseBlocks = 'leading_dense_block_count';

/** Sizes and rules of a mixture; nothing for a model without one. */
function describeExperts(
  keys: GgufKeys,
  { normsExpertWeights = false }: GgufTraits,
  tensors: ReadonlyMap<string, LazyTensor>,
): Record<string, unknown> {
  const count = keys.numberIfPresent(ggufFields.num_experts) ?? 0;
  if (count === 0) {
    return {};
  }
  const dense = keys.numberIfPresent(denseBlocks) ?? 0;
  const block = `blk.${dense}`;
  // Stacks of experts are [experts, out, in].
  const [, inner] = tensors.get(`${block}.ffn_up_exps.weight`)?.shape ?? [];
  return {
    num_experts: count,
    num_experts_per_tok: keys.number(ggufFields.num_experts_per_tok),
    moe_intermediate_size: inner,
    ...(dense === 0 ? { intermediate_size: inner } : {}),
    mlp_layer_types: Array.from({ length: readBlockCount(keys) }, (_, i) =>
      i < dense ? 'dense' : 'sparse',
    ),
    shared_expert_intermediate_size: tensors.get(`${block}.ffn_up_shexp.weight`)?.shape[0],
    n_group: keys.numberIfPresent('expert_group_count') ?? 1,
    topk_group: keys.numberIfPresent('expert_group_used_count') ?? 1,
    norm_topk_prob: keys.flagIfPresent('expert_weights_norm') ?? normsExpertWeights,
  };
}

async function describeWindows(
  keys: GgufKeys,
  windows: GgufWindows,
  blocks: number,
): Promise<Record<string, unknown>> {
  const pattern = await readPattern(keys, windows, blocks);
  return {
    sliding_window: windowOf(keys, windows),
    layer_types: Array.from({ length: blocks }, (_, block) =>
      isWindowed(pattern, block) ? 'sliding_attention' : 'full_attention',
    ),
  };
}

/** Flags of the blocks, or the length of their turns, of which the last is not windowed. */
type Pattern = readonly boolean[] | number;
const nowhere: Pattern = 1;

function windowOf(keys: GgufKeys, { size = 0 }: GgufWindows): number {
  return keys.numberIfPresent(ggufFields.sliding_window) ?? size;
}

async function readPattern(keys: GgufKeys, windows: GgufWindows, blocks: number): Promise<Pattern> {
  const pattern = await keys.flags(windowPattern, blocks);
  return windowOf(keys, windows) === 0 ? nowhere : (pattern ?? windows.period);
}

function isWindowed(pattern: Pattern, block: number): boolean {
  return typeof pattern === 'number'
    ? pattern === 0 || block % pattern < pattern - 1
    : pattern[block] === true;
}

export const noneWindowed = (architecture: string): Message =>
  say`llama.cpp expects a block with a sliding window in ${architecture} models, and none remains.`;
export const noQueryNorms = (architecture: string, blocks: number): Message =>
  say`llama.cpp reads norms of queries and keys only in ${architecture} models of at least ${counted(blocks, 'block')}.`;
const keepOne = say`Keep a block with a window, or prune the Hugging Face folder.`;

/**
 * Whether each block that stays is windowed; undefined where the file says so, or the period of the source still tells.
 * @param kept source block of each block that stays
 * @throws UserError where none is, with which llama.cpp ends.
 */
export async function keptWindows(
  keys: GgufKeys,
  windows: GgufWindows,
  kept: readonly number[],
): Promise<readonly boolean[] | undefined> {
  const pattern = await readPattern(keys, windows, keys.number(ggufFields.num_hidden_layers));
  const flags = kept.map((source) => isWindowed(pattern, source));
  if (pattern !== nowhere && !flags.includes(true)) {
    keys.fault(keys.name(windowPattern), noneWindowed(keys.architecture), keepOne);
  }
  const isSame = flags.every((flag, block) => flag === isWindowed(pattern, block));
  return typeof pattern === 'object' || isSame ? undefined : flags;
}

/**
 * Refuses a number of blocks with which llama.cpp would scale attention otherwise.
 * @param kept source block of each block that stays
 * @throws UserError with what may be removed.
 */
export function requireSameScale(
  keys: GgufKeys,
  windows: GgufWindows,
  kept: readonly number[],
): void {
  const blocks = keys.number(ggufFields.num_hidden_layers);
  const { scaledByWidthAt = 0 } = windows;
  if ((blocks === scaledByWidthAt) !== (kept.length === scaledByWidthAt)) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp scales attention differently in ${keys.architecture} models of ${counted(scaledByWidthAt, 'block')}, so ${blocks} blocks cannot become ${kept.length}.`,
      say`Prune the Hugging Face folder of the model.`,
    );
  }
}

/**
 * Refuses a number of blocks with which llama.cpp would look for a latent of queries.
 * @param counts with which it does not
 * @throws UserError with what may be removed.
 */
export function requirePlainQueries(
  keys: GgufKeys,
  counts: readonly number[],
  kept: readonly number[],
): void {
  const blocks = readBlockCount(keys);
  if (!keys.has(queryLatent) && kept.length !== blocks && !counts.includes(kept.length)) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp reads ${keys.architecture} models without a latent of queries only at some numbers of blocks, so ${blocks} blocks cannot become ${kept.length}.`,
      say`Prune the Hugging Face folder of the model.`,
    );
  }
}

/** Whether llama.cpp gives a block a rotary embedding, where the last of `every` blocks has none. */
export function isTurnedAt(every: number | undefined, block: number): boolean {
  return every === undefined || (block + 1) % every !== 0;
}

/**
 * Refuses a choice of blocks where llama.cpp, which goes by their numbers, would rotate others.
 * @param every of so many blocks, the last has none
 * @throws UserError with what may be removed.
 */
export function requireSameUnturned(keys: GgufKeys, every: number, kept: readonly number[]): void {
  const moved = kept.findIndex(
    (source, block) => isTurnedAt(every, source) !== isTurnedAt(every, block),
  );
  if (moved >= 0) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp skips the rotary embedding in one block of ${every}: block ${kept[moved] ?? 0} would become block ${moved}, which is of the other kind.`,
      say`Remove the last blocks, or ${every} in a row, or prune the Hugging Face folder.`,
    );
  }
}
