import type { SublayerKind } from '../models/model-summary';
import type { PartKind } from './model-description';

/** A name with a number of a block in it: `model.layers.3.mlp.up_proj.weight`. */
export interface NumberedName {
  /** Part of the name before the number, without the dot. */
  readonly prefix: string;
  readonly index: number;
  /** Part of the name after the number. */
  readonly rest: string;
}

/** Splits a name at the first part that is a number; undefined if there is none. */
export function parseNumbered(name: string): NumberedName | undefined {
  const parts = name.split(/[./]/);
  const at = parts.findIndex((part) => /^\d{1,6}$/.test(part));
  if (at < 0 || at === parts.length - 1) {
    return undefined;
  }
  return {
    prefix: parts.slice(0, at).join('.'),
    index: Number(parts[at]),
    rest: parts.slice(at + 1).join('.'),
  };
}

/** Patterns in order of priority. A norm belongs to the sublayer that follows it. */
const kindPatterns: readonly (readonly [RegExp, SublayerKind])[] = [
  [/cross_?att|encoder_?attn|encdecattention|multihead_attn/i, 'cross-attention'],
  [/(^|[._])(experts?|moe|block_sparse_moe|router|shared_expert\w*)([._]|$)|_exps\b/i, 'expert'],
  [
    /(^|[._])(mixer|mamba2?|linear_attn|shortconv|short_conv|gated_deltanet)[._]|(^|[._])ssm_/i,
    'mixer',
  ],
  [
    /post_attention_layernorm|(^|\.)(ln_2|ffn_norm|norm2|mlp_norm|final_layer_norm)\b/i,
    'feedforward',
  ],
  [/attn|attention|(^|\.)(q|k|v|o|qkv|query|key|value)(_?proj)?\.(weight|bias)/i, 'attention'],
  [/(^|\.)(input_layernorm|ln_1|norm1)\b/i, 'attention'],
  [
    /mlp|ffn|feed_?forward|dense|intermediate|(^|\.)(fc\d?|w[123]|gate_proj|up_proj|down_proj)\./i,
    'feedforward',
  ],
  [/conv/i, 'convolution'],
];

/** Probable kind of a block's tensor, from the rest of its name. */
export function kindByName(rest: string): SublayerKind {
  return kindPatterns.find(([pattern]) => pattern.test(rest))?.[1] ?? 'other';
}

const partPatterns: readonly (readonly [RegExp, PartKind])[] = [
  [/(^|\.)(lm_head|embed_out|output|classifier|score|cls|qa_outputs|head|logits)\./i, 'head'],
  [/embed|wte|wpe|embd/i, 'embedding'],
  [/norm|(^|\.)ln_f\b/i, 'final-norm'],
];

/** Probable part of a tensor outside of the blocks, from its name. */
export function partByName(name: string): PartKind {
  return partPatterns.find(([pattern]) => pattern.test(name))?.[1] ?? 'other';
}
