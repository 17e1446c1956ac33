import { sharedKeysBlock } from '../families/gemma4';
import type { ModelConfig } from '../transformer/model-config';
import { ggufFields } from './gguf-fields';
import type { GgufSource } from './gguf-traits';

/** Default soft cap of the logits. */
const defaultLogitCap = 30;

/**
 * Config fields of Gemma 4 (conversion/gemma.py). Blocks may have experts in addition to the MLP.
 * Full-attention blocks have another head size, may have another number of heads, and may use their
 * keys as values.
 */
export function describeGemma4({
  keys,
  tensors,
  sizes: { blockKeyValueHeads, innerSize },
  types,
}: GgufSource): Readonly<Record<string, unknown>> {
  const headDim = keys.number('attention.key_length_swa');
  const fullDim = keys.number('attention.key_length');
  const first = types.length - (keys.numberIfPresent('attention.shared_kv_layers') ?? 0);
  const isFull = (block: number): boolean => types[block] === 'full_attention';
  const inner = keys.numberIfPresent(ggufFields.moe_intermediate_size);
  const cap = keys.numberIfPresent(ggufFields.final_logit_softcapping) ?? defaultLogitCap;
  return {
    intermediate_size: innerSize,
    final_logit_softcapping: cap === 0 ? null : cap,
    enable_moe_block: tensors.has('blk.0.ffn_gate_inp.weight'),
    ...(inner === undefined ? {} : { moe_intermediate_size: inner }),
    head_dim: headDim,
    per_layer_config: Object.fromEntries(
      types.map((_, block) => [
        String(block),
        {
          head_dim: isFull(block) ? fullDim : headDim,
          num_key_value_heads: blockKeyValueHeads[block],
        },
      ]),
    ),
    attention_k_eq_v: types.some(
      (_, block) => block < first && isFull(block) && !tensors.has(`blk.${block}.attn_v.weight`),
    ),
  };
}

/**
 * Required config.json values, because llama.cpp has them hard-coded: full-attention blocks share the keys of the last
 * block with its own keys, sliding-window blocks those of the block before it (src/llama-kv-cache-iswa.cpp).
 */
export function gemma4Demands(config: ModelConfig): Readonly<Record<string, unknown>> {
  const { num_hidden_layers: blocks, layer_types: types } = config;
  const lenders = Array.from({ length: blocks }, (_, block) => sharedKeysBlock(config, block));
  const first = lenders.findIndex((lender) => lender !== undefined);
  const areLast = lenders.every(
    (lender, block) =>
      lender === undefined || lender === first - (types?.[block] === 'full_attention' ? 1 : 2),
  );
  return areLast ? {} : { num_kv_shared_layers: 0 };
}
