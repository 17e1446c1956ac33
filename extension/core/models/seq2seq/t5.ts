import type { Architecture, Biases } from '../transformer/architecture';
import { countedBlocks } from './seq2seq-family';
import type { Seq2SeqFamily, TowerNames } from './seq2seq-family';
import type { Seq2SeqConfig } from './seq2seq-config';

const noBiases: Biases = { queryKeyValue: false, attentionOutput: false, feedforward: false };

const attentionIn = (layer: number, module: string): Architecture['attention'] => ({
  norm: `layer.${layer}.layer_norm`,
  queryKeyValue: {
    kind: 'separate',
    names: ['q', 'k', 'v'].map((name) => `layer.${layer}.${module}.${name}`),
  },
  output: `layer.${layer}.${module}.o`,
});

const isGated = ({ feed_forward_proj: projection }: Seq2SeqConfig): boolean =>
  String(projection).startsWith('gated-');

function feedforwardIn(layer: number, config: Seq2SeqConfig): Architecture['feedforward'] {
  const place = `layer.${layer}.DenseReluDense`;
  return {
    norm: `layer.${layer}.layer_norm`,
    gateUp: {
      kind: 'separate',
      names: isGated(config) ? [`${place}.wi_0`, `${place}.wi_1`] : [`${place}.wi`],
    },
    down: `${place}.wo`,
  };
}

/** @param biasIsByBlock whether each block has a bias of its own, or all share that of the first */
function towerOf(
  prefix: string,
  config: Seq2SeqConfig,
  lastLayer: number,
  biasIsByBlock: boolean,
): TowerNames {
  const crossStandIn = biasIsByBlock ? 'SameAttention' : 'SameCrossAttention';
  return {
    prefix,
    blocks: 'block',
    attention: attentionIn(0, 'SelfAttention'),
    feedforward: feedforwardIn(lastLayer, config),
    finalNorm: 'final_layer_norm',
    distanceBias: 'layer.0.SelfAttention.relative_attention_bias',
    biasIsByBlock,
    modules: {
      attention: { 'layer.0': biasIsByBlock ? 'SameAttention' : 'KeptBias' },
      ...(lastLayer === 1 ? {} : { 'cross-attention': { 'layer.1': crossStandIn } }),
      feedforward: { [`layer.${lastLayer}`]: 'SameStates' },
    },
  };
}

/** The activation that `feed_forward_proj` names. */
function activationOf(projection: unknown): string {
  const name = String(projection).split('-').at(-1) ?? '';
  return projection === 'gated-gelu' ? 'gelu_new' : name;
}

/** How a family differs from the others. */
interface Form {
  readonly modelType: string;
  readonly family: string;
  /** `feed_forward_proj` where config.json has none. */
  readonly projection: string;
  readonly headScale: (config: Seq2SeqConfig) => number;
  readonly biasIsByBlock?: boolean;
}

/** T5 (arXiv 1910.10683) and what is named like it. */
function t5Like({
  modelType,
  family,
  projection,
  headScale,
  biasIsByBlock = false,
}: Form): Seq2SeqFamily {
  return {
    modelType,
    classes: {
      config: `${family}Config`,
      model: `${family}Model`,
      head: `${family}ForConditionalGeneration`,
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
        hidden_act: activationOf(given),
      }),
      only: () => ({ is_encoder_decoder: true }),
      ...countedBlocks({ encoder: 'num_layers', decoder: 'num_decoder_layers' }),
    },
    prefix: '',
    norm: 'rms',
    biases: () => noBiases,
    words: ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens'],
    head: { name: 'lm_head' },
    towers: (config) => ({
      encoder: towerOf('encoder.', config, 1, biasIsByBlock),
      decoder: {
        ...towerOf('decoder.', config, 2, biasIsByBlock),
        crossAttention: attentionIn(1, 'EncDecAttention'),
      },
    }),
    source: 'text',
    scales: (config) => ({ attention: 1, head: headScale(config) }),
  };
}

/** The first T5 shares its embedding with the head, and scales what that reads; later ones say that they do not share. */
const byTie = ({
  scale_decoder_outputs: isScaled,
  tie_word_embeddings: isTied,
  hidden_size: hidden,
}: Seq2SeqConfig): number => ((isScaled ?? isTied) ? hidden ** -0.5 : 1);

export const t5s: readonly Seq2SeqFamily[] = [
  t5Like({ modelType: 't5', family: 'T5', projection: 'relu', headScale: byTie }),
  // arXiv 2010.11934; transformers never scales.
  t5Like({ modelType: 'mt5', family: 'MT5', projection: 'gated-gelu', headScale: () => 1 }),
  // arXiv 2304.09151
  t5Like({
    modelType: 'umt5',
    family: 'UMT5',
    projection: 'gated-gelu',
    headScale: byTie,
    biasIsByBlock: true,
  }),
];
