import { preNorm } from '../modules/wiring-names';
import type { Architecture, Biases } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/model-config';
import { countedBlocks } from './seq2seq-family';
import type { Seq2SeqFamily, TowerNames, Seq2SeqConfig } from './seq2seq-family';

const noBiases: Biases = { queryKeyValue: false, attentionOutput: false, feedforward: false };

/** True if `feed_forward_proj` of config.json names a gate. */
export const isGated = ({ feed_forward_proj: projection }: ConfigFields): boolean =>
  String(projection).startsWith('gated-');

/** The activation that `feed_forward_proj` names. */
export function readActivation(projection: unknown): string {
  const name = String(projection).split('-').at(-1) ?? '';
  return projection === 'gated-gelu' ? 'gelu_new' : name;
}

/** Names that the embedding is stored under, the first that a checkpoint has. */
export const t5Words = ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens'] as const;

export type Towers = ReturnType<Seq2SeqFamily['towers']>;

/**
 * Towers of T5 (arXiv 1910.10683).
 * @param biasIsByBlock true if each block has its own relative position bias; otherwise the first block's is shared
 */
export function t5Towers(config: ConfigFields, biasIsByBlock: boolean): Towers {
  const attention = (layer: number, module: string): Architecture['attention'] => ({
    wiring: preNorm(`layer.${layer}.layer_norm`),
    queryKeyValue: ['q', 'k', 'v'].map((name) => `layer.${layer}.${module}.${name}`),
    output: `layer.${layer}.${module}.o`,
  });
  const tower = (prefix: string, last: number): TowerNames => ({
    ...{ prefix, biasIsByBlock },
    blocks: 'block',
    attention: attention(0, 'SelfAttention'),
    feedforward: {
      wiring: preNorm(`layer.${last}.layer_norm`),
      gateUp: (isGated(config) ? ['wi_0', 'wi_1'] : ['wi']).map(
        (name) => `layer.${last}.DenseReluDense.${name}`,
      ),
      down: `layer.${last}.DenseReluDense.wo`,
    },
    finalNorm: 'final_layer_norm',
    distanceBias: 'layer.0.SelfAttention.relative_attention_bias',
    modules: {
      // The bias by distance stays in the first block.
      attention: { 'layer.0': biasIsByBlock ? 'SameAttention' : 'KeptBias' },
      feedforward: { [`layer.${last}`]: 'SameStates' },
    },
  });
  const decoder = tower('decoder.', 2);
  return {
    encoder: tower('encoder.', 1),
    decoder: {
      ...decoder,
      crossAttention: attention(1, 'EncDecAttention'),
      modules: {
        ...decoder.modules,
        'cross-attention': { 'layer.1': biasIsByBlock ? 'SameAttention' : 'SameCrossAttention' },
      },
    },
  };
}

/** Properties that differ between T5 families. */
export interface T5Variant {
  readonly modelType: string;
  readonly family: string;
  /** Default of `feed_forward_proj`. */
  readonly projection: string;
  readonly headScale: (config: Seq2SeqConfig) => number;
  readonly biasIsByBlock: boolean;
}

/** T5 (arXiv 1910.10683) and models with the same tensor names. */
function t5Like({
  modelType,
  family,
  projection,
  headScale,
  biasIsByBlock,
}: T5Variant): Seq2SeqFamily {
  return {
    modelType,
    classes: {
      config: `${family}Config`,
      model: `${family}Model`,
      head: `${family}ForConditionalGeneration`,
      encoder: `${family}EncoderModel`,
    },
    auto: 'AutoModelForSeq2SeqLM',
    config: {
      names: {
        hidden_size: 'd_model',
        head_dim: 'd_kv',
        encoder_layers: 'num_layers',
        decoder_layers: 'num_decoder_layers',
        encoder_attention_heads: 'num_heads',
        decoder_attention_heads: 'num_heads',
        encoder_ffn_dim: 'd_ff',
        decoder_ffn_dim: 'd_ff',
        rms_norm_eps: 'layer_norm_epsilon',
      },
      defaults: ({ num_layers: layers }) => ({
        feed_forward_proj: projection,
        decoder_layers: layers,
        is_encoder_decoder: true,
        pad_token_id: 0,
      }),
      computed: ({ feed_forward_proj: given = projection }) => ({
        hidden_act: readActivation(given),
      }),
      only: () => ({ is_encoder_decoder: true }),
      ...countedBlocks({ encoder: 'num_layers', decoder: 'num_decoder_layers' }),
    },
    prefix: '',
    norm: 'rms',
    biases: () => noBiases,
    words: t5Words,
    head: { name: 'lm_head' },
    towers: (config) => t5Towers(config, biasIsByBlock),
    source: 'text',
    scales: (config) => ({ attention: 1, head: headScale(config) }),
  };
}

/** The first T5 ties embedding and head and scales the head's input; later versions declare that they are untied. */
const byTie = ({
  scale_decoder_outputs: isScaled,
  tie_word_embeddings: isTied,
  hidden_size: hidden,
}: Seq2SeqConfig): number => ((isScaled ?? isTied) ? hidden ** -0.5 : 1);

export const t5Forms: readonly T5Variant[] = [
  {
    ...{ modelType: 't5', family: 'T5', projection: 'relu' },
    ...{ headScale: byTie, biasIsByBlock: false },
  },
  // arXiv 2010.11934; transformers never scales.
  {
    ...{ modelType: 'mt5', family: 'MT5', projection: 'gated-gelu' },
    ...{ headScale: () => 1, biasIsByBlock: false },
  },
  // arXiv 2304.09151
  {
    ...{ modelType: 'umt5', family: 'UMT5', projection: 'gated-gelu' },
    ...{ headScale: byTie, biasIsByBlock: true },
  },
];

export const t5s: readonly Seq2SeqFamily[] = t5Forms.map(t5Like);
