import type { Architecture } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/config-layout';
import { preNorm } from '../modules/wiring-names';

/** Names of the tensors of one tower of T5 (arXiv 1910.10683), below its prefix. */
export interface T5Tower {
  readonly prefix: string;
  readonly blocks: string;
  readonly attention: Architecture['attention'];
  readonly crossAttention: Architecture['attention'];
  readonly feedforward: Architecture['feedforward'];
  readonly finalNorm: string;
  /** What scores gain by distance, below a block. */
  readonly distanceBias: string;
}

/** Names of a whole model. */
export interface T5Names {
  readonly encoder: T5Tower;
  readonly decoder: T5Tower;
  /** What the embedding is stored under, the first that a checkpoint has. */
  readonly words: readonly string[];
  readonly head: string;
}

/** @param isGated whether feed-forwards have a gate */
export const t5FolderNames = (isGated: boolean): T5Names => ({
  encoder: towerInFolder('encoder.', 1, isGated),
  decoder: towerInFolder('decoder.', 2, isGated),
  words: ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens'],
  head: 'lm_head',
});

function towerInFolder(prefix: string, last: number, isGated: boolean): T5Tower {
  const attentionIn = (layer: number, module: string): Architecture['attention'] => ({
    wiring: preNorm(`layer.${layer}.layer_norm`),
    queryKeyValue: {
      kind: 'separate',
      names: ['q', 'k', 'v'].map((name) => `layer.${layer}.${module}.${name}`),
    },
    output: `layer.${layer}.${module}.o`,
  });
  const place = `layer.${last}.DenseReluDense`;
  return {
    prefix,
    blocks: 'block',
    attention: attentionIn(0, 'SelfAttention'),
    crossAttention: attentionIn(1, 'EncDecAttention'),
    feedforward: {
      wiring: preNorm(`layer.${last}.layer_norm`),
      gateUp: {
        kind: 'separate',
        names: isGated ? [`${place}.wi_0`, `${place}.wi_1`] : [`${place}.wi`],
      },
      down: `${place}.wo`,
    },
    finalNorm: 'final_layer_norm',
    distanceBias: 'layer.0.SelfAttention.relative_attention_bias',
  };
}

/** As llama.cpp names them (gguf-py, constants.py). */
export const t5GgufNames = (isGated: boolean): T5Names => ({
  encoder: towerInGguf('enc.', isGated),
  decoder: towerInGguf('dec.', isGated),
  words: ['token_embd'],
  head: 'output',
});

function towerInGguf(prefix: string, isGated: boolean): T5Tower {
  const attentionOf = (kind: string): Architecture['attention'] => ({
    wiring: preNorm(`${kind}_norm`),
    queryKeyValue: { kind: 'separate', names: ['q', 'k', 'v'].map((name) => `${kind}_${name}`) },
    output: `${kind}_o`,
  });
  return {
    prefix,
    blocks: 'blk',
    attention: attentionOf('attn'),
    crossAttention: attentionOf('cross_attn'),
    feedforward: {
      wiring: preNorm('ffn_norm'),
      gateUp: { kind: 'separate', names: isGated ? ['ffn_gate', 'ffn_up'] : ['ffn_up'] },
      down: 'ffn_down',
    },
    finalNorm: 'output_norm',
    distanceBias: 'attn_rel_b',
  };
}

/** Whether `feed_forward_proj` of config.json names a gate. */
export const isGated = ({ feed_forward_proj: projection }: ConfigFields): boolean =>
  String(projection).startsWith('gated-');

/** The activation that `feed_forward_proj` names. */
export function activationOf(projection: unknown): string {
  const name = String(projection).split('-').at(-1) ?? '';
  return projection === 'gated-gelu' ? 'gelu_new' : name;
}
