import { activationOf, isGated, t5FolderNames } from '../t5/t5-names';
import type { T5Names } from '../t5/t5-names';
import type { StandIns } from '../stand-ins';
import type { Biases } from '../transformer/architecture';
import { countedBlocks } from './seq2seq-family';
import type { Seq2SeqFamily, TowerNames } from './seq2seq-family';
import type { Seq2SeqConfig } from './seq2seq-config';

const noBiases: Biases = { queryKeyValue: false, attentionOutput: false, feedforward: false };

/** Modules of a block of the encoder; the bias by distance stays in the first. */
export const encoderModules = (
  biasIsByBlock: boolean,
): Readonly<Record<'attention' | 'feedforward', StandIns>> => ({
  attention: { 'layer.0': biasIsByBlock ? 'SameAttention' : 'KeptBias' },
  feedforward: { 'layer.1': 'SameStates' },
});

const decoderModules = (biasIsByBlock: boolean): TowerNames['modules'] => ({
  ...encoderModules(biasIsByBlock),
  'cross-attention': { 'layer.1': biasIsByBlock ? 'SameAttention' : 'SameCrossAttention' },
  feedforward: { 'layer.2': 'SameStates' },
});

/**
 * The towers of a model.
 * @param biasIsByBlock whether each block has a bias of its own, or all share that of the first
 */
export function towersOf(
  { encoder, decoder }: T5Names,
  biasIsByBlock: boolean,
): ReturnType<Seq2SeqFamily['towers']> {
  const { crossAttention: _none, ...ofEncoder } = encoder;
  return {
    encoder: { ...ofEncoder, biasIsByBlock, modules: encoderModules(biasIsByBlock) },
    decoder: { ...decoder, biasIsByBlock, modules: decoderModules(biasIsByBlock) },
  };
}

/** How a family differs from the others. */
export interface T5Form {
  readonly modelType: string;
  readonly family: string;
  /** `feed_forward_proj` where config.json has none. */
  readonly projection: string;
  readonly headScale: (config: Seq2SeqConfig) => number;
  readonly biasIsByBlock: boolean;
}

/** T5 (arXiv 1910.10683) and what is named like it. */
function t5Like({
  modelType,
  family,
  projection,
  headScale,
  biasIsByBlock,
}: T5Form): Seq2SeqFamily {
  const { words, head } = t5FolderNames(false);
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
        hidden_act: activationOf(given),
      }),
      only: () => ({ is_encoder_decoder: true }),
      ...countedBlocks({ encoder: 'num_layers', decoder: 'num_decoder_layers' }),
    },
    prefix: '',
    norm: 'rms',
    biases: () => noBiases,
    words,
    head: { name: head },
    towers: (config) => towersOf(t5FolderNames(isGated(config)), biasIsByBlock),
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

export const t5Forms: readonly T5Form[] = [
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
