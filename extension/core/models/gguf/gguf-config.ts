import type { GgufHeader } from '../../checkpoints/gguf';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Biases } from '../transformer/architecture';
import { readBlockCount, readDeciBlocks, readSameBlocks } from './gguf-blocks';
import type { GgufBlocks } from './gguf-blocks';
import { denseBlocks, expertGroups, ggufFields, queryLatent, valueLength } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { readMixed } from './mixer-places';
import { describeRotary } from './gguf-rotary';
import type { GgufTraits } from './gguf-traits';
import { describeWindows } from './gguf-windows';
import { say } from '../../message';

export interface GgufConfig extends Readonly<Record<string, unknown>> {
  readonly head_dim: number;
}

/** Facts that only the tensors show. */
interface DescribedOtherwise {
  /** Keys of the family by field. */
  readonly fieldKey: Readonly<Record<string, string>>;
  /** Number of channels and key/value heads by sublayer, if the tensors have fewer. */
  readonly widths: GgufBlocks['widths'];
}

/**
 * Fields of config.json for a GGUF header.
 * @throws UserError naming the invalid key.
 */
export async function describeGguf(
  keys: GgufKeys,
  header: GgufHeader,
  traits: GgufTraits,
  { fieldKey, widths: widthPruned }: DescribedOtherwise,
): Promise<GgufConfig> {
  const { windows, mayLackSublayers = false, sizesDiffer = false, fields = {} } = traits;
  const { ownValueSize = false } = traits;
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const hiddenSize = keys.number(ggufFields.hidden_size);
  const blocks = readBlockCount(keys);
  const sizes = mayLackSublayers
    ? await readDeciBlocks(keys, blocks)
    : await readSameBlocks(keys, sizesDiffer);
  const { heads, keyValueHeads, innerSize, absent } = sizes;
  const widths = { ...sizes.widths, ...widthPruned };
  const windowed = windows && (await describeWindows(keys, windows, blocks));
  const types = windowed?.layer_types ?? (await readMixed(keys, traits, sizes)) ?? [];
  const latent = traits.isLatent === true ? describeLatent(keys, hiddenSize / heads) : undefined;
  const headDim =
    latent?.qk_rope_head_dim ?? keys.numberIfPresent(ggufFields.head_dim) ?? hiddenSize / heads;
  if (!Number.isInteger(headDim)) {
    keys.fault(
      keys.name(ggufFields.num_attention_heads),
      'heads-not-divisible',
      say`A width of ${hiddenSize} can't be divided among ${heads} heads evenly.`,
    );
  }
  const valueDim = keys.numberIfPresent(valueLength) ?? headDim;
  if (valueDim !== headDim && latent === undefined && !ownValueSize) {
    keys.fault(
      keys.name(valueLength),
      'gguf-value-size-unsupported',
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
    rms_norm_eps: keys.number(fieldKey['rms_norm_eps'] ?? ggufFields.rms_norm_eps),
    attn_logit_softcapping: keys.numberIfPresent(ggufFields.attn_logit_softcapping),
    final_logit_softcapping: keys.numberIfPresent(ggufFields.final_logit_softcapping),
    tie_word_embeddings: !tensors.has('output.weight'),
    gguf_biases: readBiases(tensors),
    ...describeOwn(keys, fields),
    ...(ownValueSize ? { v_head_dim: valueDim } : {}),
    ...latent,
    ...(types.length === 0 ? {} : { layer_types: types }),
    ...(tensors.has('blk.0.attn_q_norm.weight') ? { use_qk_norm: true, qk_layernorm: true } : {}),
    ...describeExperts(keys, traits, tensors),
    ...(absent.length + Object.keys(widths).length === 0
      ? {}
      : { espalier: { removed: absent, widths } }),
    ...(windows === undefined
      ? {}
      : {
          sliding_window: windowed?.sliding_window,
          query_pre_attn_scalar: blocks === windows.scaledByWidthAt ? hiddenSize / heads : headDim,
        }),
    rope_parameters: await describeRotary(keys, headDim, tensors, traits),
    ...(await traits.describe?.({ keys, tensors, sizes, types })),
    ...traits.settled,
  };
}

/**
 * Sizes of multi-head latent attention. Older files store the sizes of expanded heads under the
 * default keys.
 */
function describeLatent(
  keys: GgufKeys,
  share: number,
): Readonly<
  Record<'kv_lora_rank' | 'qk_rope_head_dim' | 'qk_nope_head_dim' | 'v_head_dim', number>
> & { readonly q_lora_rank: number | null } {
  const size = (key: string, usual?: number): number =>
    keys.numberIfPresent(`attention.${key}_mla`) ??
    keys.numberIfPresent(`attention.${key}`) ??
    usual ??
    keys.missing(keys.name(`attention.${key}`));
  const rotaryDimensions = keys.number('rope.dimension_count');
  return {
    q_lora_rank: keys.numberIfPresent(queryLatent) ?? null,
    kv_lora_rank: keys.number('attention.kv_lora_rank'),
    qk_rope_head_dim: rotaryDimensions,
    qk_nope_head_dim: size('key_length') - rotaryDimensions,
    v_head_dim: size('value_length', share),
  };
}

/** A window that the family does not have is not left out in silence. */
function refuseWindow(keys: GgufKeys, { windows, fields = {} }: GgufTraits): void {
  const size = keys.numberIfPresent(ggufFields.sliding_window) ?? 0;
  if (size > 0 && windows === undefined && fields['sliding_window'] === undefined) {
    keys.fault(
      keys.name(ggufFields.sliding_window),
      'gguf-window-unsupported',
      say`Sliding windows are not supported in ${keys.architecture} files.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
}

/** Linear layers that have a bias, read from block 0. */
function readBiases(tensors: ReadonlyMap<string, LazyTensor>): Biases {
  const parts = new Set(
    [...tensors.keys()].map((name) => /^blk\.\d+\.(.+)\.bias$/.exec(name)?.[1]),
  );
  return {
    queryKeyValue: parts.has('attn_q') || parts.has('attn_qkv'),
    attentionOutput: parts.has('attn_output'),
    feedforward: parts.has('ffn_up'),
    feedforwardOutput: parts.has('ffn_down'),
  };
}

/** Fields specific to this family. A window of 0 means no window. */
function describeOwn(
  keys: GgufKeys,
  fields: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const entries = Object.entries(fields).map(([field, key]) => [field, keys.valueIfPresent(key)]);
  return Object.fromEntries(
    entries.filter(([field, value]) => field !== 'sliding_window' || value !== 0),
  ) as Record<string, unknown>;
}

/** Sizes and routing of MoE layers, or null values for a dense model. */
function describeExperts(
  keys: GgufKeys,
  { normsExpertWeights = false }: GgufTraits,
  tensors: ReadonlyMap<string, LazyTensor>,
): Record<string, unknown> {
  const count = keys.numberIfPresent(ggufFields.num_experts) ?? 0;
  if (count === 0) {
    return { num_local_experts: 0 };
  }
  const dense = keys.numberIfPresent(denseBlocks) ?? 0;
  const tensorShape = (part: string): readonly number[] =>
    [...tensors].find(([name]) => name.endsWith(`.${part}.weight`))?.[1].shape ?? [];
  // Stacks of experts are [experts, out, in].
  const inner = tensorShape('ffn_down_exps').at(-1);
  return {
    num_experts: count,
    num_experts_per_tok: keys.number(ggufFields.num_experts_per_tok),
    moe_intermediate_size: inner,
    ...(dense === 0 ? { intermediate_size: inner } : {}),
    mlp_layer_types: Array.from({ length: readBlockCount(keys) }, (_, i) =>
      i < dense ? 'dense' : 'sparse',
    ),
    shared_expert_intermediate_size: tensorShape('ffn_up_shexp')[0],
    n_group: keys.numberIfPresent(expertGroups) ?? null,
    topk_group: keys.numberIfPresent('expert_group_used_count') ?? 1,
    norm_topk_prob: keys.flagIfPresent('expert_weights_norm') ?? normsExpertWeights,
  };
}
