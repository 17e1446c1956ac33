import type { GgufHeader } from '../../checkpoints/gguf';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readFloats } from '../../checkpoints/read-tensor';
import type { Architecture, Biases } from '../transformer/architecture';
import { readDeciBlocks, readSameBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import { counted, say } from '../../message';

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

/** What llama.cpp takes for granted of a family whose blocks take turns. */
export interface GgufWindows {
  /** Of so many blocks the last is not windowed, unless the file says otherwise. */
  readonly period: number;
  /** Whether llama.cpp goes by that whatever the file says. */
  readonly isFixed?: boolean;
  /** Number of positions, unless the file says otherwise. */
  readonly size?: number;
  /** Windowed blocks have a rotary base of their own: 10 000, unless the file says otherwise. */
  readonly ownRotary: boolean;
  /** Number of blocks of the one size whose attention is scaled by hidden size and heads, not by the size of a head. */
  readonly scaledByWidthAt?: number;
}

/** How a family differs in what its header says. */
export interface GgufTraits {
  readonly windows?: GgufWindows;
  /** Sizes are lists with 0 for what a block lacks. */
  readonly mayLackSublayers?: boolean;
  /** Further fields of config.json that are keys of the header. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Of so many blocks the last turns no queries and keys. */
  readonly unturned?: number;
  /** Whether the weights of chosen experts are divided by their sum, where the file is silent. */
  readonly normsExpertWeights?: boolean;
  /** Whether the bounds of yarn's ramp are whole numbers; yes when absent. */
  readonly roundsYarn?: boolean;
}

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

/** Divisors of the rotary frequencies, one per pair of dimensions. */
export const frequencyFactors = 'rope_freqs.weight';
/** The same for short texts and for long ones. */
const lengthFactors = ['rope_factors_short.weight', 'rope_factors_long.weight'] as const;
export const rotaryTables: readonly string[] = [frequencyFactors, ...lengthFactors];
const maxFrequencies = 1 << 15;
const defaultBase = 10_000;

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
  const blocks = keys.number(ggufFields.num_hidden_layers);
  const { heads, keyValueHeads, innerSize, absent, widths } = mayLackSublayers
    ? await readDeciBlocks(keys, blocks)
    : readSameBlocks(keys);
  const headDim = keys.numberIfPresent(ggufFields.head_dim) ?? hiddenSize / heads;
  if (!Number.isInteger(headDim)) {
    keys.fault(
      keys.name(ggufFields.num_attention_heads),
      say`${heads} heads cannot share a width of ${hiddenSize} evenly.`,
    );
  }
  const valueDim = keys.numberIfPresent('attention.value_length') ?? headDim;
  if (valueDim !== headDim) {
    keys.fault(
      keys.name('attention.value_length'),
      say`Values of ${valueDim} with keys of ${headDim} are not supported.`,
    );
  }
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
    gguf_biases: biasesOf(tensors),
    ...Object.fromEntries(
      Object.entries(fields).map(([field, key]) => [field, keys.valueIfPresent(key)]),
    ),
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
  };
}

/** Which linear layers of the first block have a bias: those of the others are alike. */
function biasesOf(tensors: ReadonlyMap<string, LazyTensor>): Biases {
  const has = (...parts: readonly string[]): boolean =>
    parts.some((part) => tensors.has(`blk.0.${part}.bias`));
  return {
    queryKeyValue: has('attn_q', 'attn_qkv'),
    attentionOutput: has('attn_output'),
    feedforward: has('ffn_up'),
    feedforwardOutput: has('ffn_down'),
  };
}

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
  // Stacks of experts are [experts, out, in].
  const [, inner] = tensors.get('blk.0.ffn_up_exps.weight')?.shape ?? [];
  return {
    num_experts: count,
    num_experts_per_tok: keys.number(ggufFields.num_experts_per_tok),
    moe_intermediate_size: inner,
    intermediate_size: inner,
    shared_expert_intermediate_size: tensors.get('blk.0.ffn_up_shexp.weight')?.shape[0],
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
  const { isFixed = false } = windows;
  const pattern = isFixed
    ? undefined
    : await keys.flags('attention.sliding_window_pattern', blocks);
  return windowOf(keys, windows) === 0 ? nowhere : (pattern ?? windows.period);
}

export function isWindowed(pattern: Pattern, block: number): boolean {
  return typeof pattern === 'number'
    ? pattern === 0 || block % pattern < pattern - 1
    : pattern[block] === true;
}

/**
 * Refuses a choice of blocks that llama.cpp would take for others, since it goes by their numbers.
 * @param kept source block of each block that stays
 * @throws UserError with what may be removed.
 */
export async function requireSameTurns(
  keys: GgufKeys,
  windows: GgufWindows,
  kept: readonly number[],
): Promise<void> {
  const blocks = keys.number(ggufFields.num_hidden_layers);
  const { scaledByWidthAt = 0 } = windows;
  if ((blocks === scaledByWidthAt) !== (kept.length === scaledByWidthAt)) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp scales attention differently in ${keys.architecture} models of ${counted(scaledByWidthAt, 'block')}, so ${blocks} blocks cannot become ${kept.length}.`,
      say`Prune the Hugging Face folder of the model.`,
    );
  }
  const pattern = await readPattern(keys, windows, blocks);
  const moved = kept.findIndex(
    (source, block) =>
      typeof pattern === 'number' && isWindowed(pattern, source) !== isWindowed(pattern, block),
  );
  if (moved >= 0) {
    keys.fault(
      keys.name('attention.sliding_window_pattern'),
      say`One block in ${String(pattern)} has no window: block ${kept[moved] ?? 0} would become block ${moved}, which is of the other kind.`,
      say`Remove blocks so that the others still alternate, or prune the Hugging Face folder.`,
    );
  }
}

/** Whether llama.cpp turns a block's queries and keys, where the last of `every` blocks is left out. */
export function isTurnedAt(every: number | undefined, block: number): boolean {
  return every === undefined || (block + 1) % every !== 0;
}

/**
 * Refuses a choice of blocks of which llama.cpp would turn others, since it goes by their numbers.
 * @param every of so many blocks, the last is not turned
 * @throws UserError with what may be removed.
 */
export function requireSameUnturned(keys: GgufKeys, every: number, kept: readonly number[]): void {
  const moved = kept.findIndex(
    (source, block) => isTurnedAt(every, source) !== isTurnedAt(every, block),
  );
  if (moved >= 0) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp turns no queries in one block of ${every}: block ${kept[moved] ?? 0} would become block ${moved}, which is of the other kind.`,
      say`Remove the last blocks, or ${every} in a row, or prune the Hugging Face folder.`,
    );
  }
}

async function describeRotary(
  keys: GgufKeys,
  headDim: number,
  tensors: ReadonlyMap<string, LazyTensor>,
  { windows, roundsYarn = true }: GgufTraits,
): Promise<Record<string, unknown>> {
  const dimensions = keys.numberIfPresent('rope.dimension_count') ?? headDim;
  if (dimensions < 2 || dimensions % 2 !== 0 || dimensions > headDim) {
    keys.fault(
      keys.name('rope.dimension_count'),
      say`${dimensions} dimensions of heads of ${headDim} cannot be rotated in pairs.`,
    );
  }
  const shared = { partial_rotary_factor: dimensions / headDim };
  for (const { name, shape } of rotaryTables.flatMap((table) => tensors.get(table) ?? [])) {
    if (shape.join() !== String(dimensions / 2)) {
      keys.fault(name, say`It should have ${dimensions / 2} numbers, one for each pair.`);
    }
  }
  const full = {
    ...shared,
    rope_theta: keys.numberIfPresent('rope.freq_base') ?? defaultBase,
    ...(await describeScaling(keys, tensors, roundsYarn)),
  };
  return windows?.ownRotary === true
    ? {
        full_attention: full,
        sliding_attention: {
          ...shared,
          rope_theta: keys.numberIfPresent('rope.freq_base_swa') ?? defaultBase,
        },
      }
    : full;
}

async function describeScaling(
  keys: GgufKeys,
  tensors: ReadonlyMap<string, LazyTensor>,
  roundsYarn: boolean,
): Promise<Record<string, unknown>> {
  const original = keys.numberIfPresent('rope.scaling.original_context_length');
  const attention = keys.numberIfPresent('rope.scaling.attn_factor');
  const [short, long] = lengthFactors.map((name) => tensors.get(name));
  if (short !== undefined && long !== undefined) {
    return {
      rope_type: 'longrope',
      short_factor: await readFloats(short, maxFrequencies),
      long_factor: await readFloats(long, maxFrequencies),
      original_max_position_embeddings: original,
      attention_factor: attention ?? 1,
    };
  }
  const factors = tensors.get(frequencyFactors);
  if (factors !== undefined) {
    // Made by the conversion from scalings such as llama3; one set for all lengths.
    const table = await readFloats(factors, maxFrequencies);
    return {
      rope_type: 'longrope',
      short_factor: table,
      long_factor: table,
      attention_factor: 1,
    };
  }
  const type = keys.textIfPresent('rope.scaling.type') ?? 'none';
  const factor =
    keys.numberIfPresent('rope.scaling.factor') ?? keys.numberIfPresent('rope.scale_linear');
  switch (type) {
    case 'none':
    case 'linear':
      return factor === undefined || factor === 1 ? {} : { rope_type: 'linear', factor };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor,
        original_max_position_embeddings: original,
        attention_factor: attention,
        beta_fast: keys.numberIfPresent('rope.scaling.yarn_beta_fast'),
        beta_slow: keys.numberIfPresent('rope.scaling.yarn_beta_slow'),
        truncate: roundsYarn,
      };
    default:
      return keys.fault(
        keys.name('rope.scaling.type'),
        say`Scaling "${type}" is not supported in GGUF files, only none, linear and yarn.`,
        say`Use the Hugging Face folder of the model.`,
      );
  }
}
