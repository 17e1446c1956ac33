import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitPositions } from '../encoders/encoder-inputs';
import type { ModelInputs, SideValue, Values } from '../model-emitter';
import { emitCausalMask, emitWholeMask } from '../parts/causal-mask';
import { emitNorm } from '../parts/norm';
import { WordEmbedding } from '../modules/word-embedding';
import type { Sublayer } from '../modules/sublayer-list';
import { SpectrogramEmbedding } from './spectrogram';
import type { Seq2SeqLayout, Tower } from './seq2seq-layout';

const sourceMask = 'mask.source';
const targetMask = 'mask';
const crossMask = 'mask.cross';

/** All masks: encoder self-attention, decoder self-attention, and cross-attention. Spectrograms have no padding. */
export function seq2SeqMasks({ encoder, decoder }: Seq2SeqLayout): SideValue[] {
  const headCount = ({ distanceBias }: Tower): number => distanceBias?.table.shape[1] ?? 1;
  const rows = encoder.distanceBias === undefined ? 1 : 'sequence';
  return [
    ...(encoder.start instanceof WordEmbedding
      ? [
          { name: sourceMask, shape: ['side_batch', headCount(encoder), rows, 'sequence'] },
          { name: crossMask, shape: ['side_batch', 1, 1, 'source'] },
        ]
      : []),
    { name: targetMask, shape: ['side_batch', headCount(decoder), 'sequence', 'sequence'] },
  ];
}

/** The mask that a sublayer reads, if any. */
export function findMask(
  layout: Seq2SeqLayout,
  tower: Tower,
  sublayer: Sublayer,
): SideValue | undefined {
  const { reach } = sublayer;
  if (reach === undefined) {
    return undefined;
  }
  const name = tower === layout.encoder ? sourceMask : reach.isCross ? crossMask : targetMask;
  return seq2SeqMasks(layout).find((mask) => mask.name === name);
}

/** Emits all of them, by name. */
export function emitMasks(graph: GraphBuilder, layout: Seq2SeqLayout): Values {
  const inputIds = 'decoder_input_ids';
  const attentionMask = graph.op('Expand', [
    graph.ints([1], [1, 1]),
    graph.op('Shape', [inputIds]),
  ]);
  return {
    ...emitSourceMask(graph, layout),
    ...emitTargetMasks(graph, layout, { inputIds, attentionMask, positionIds: '' }),
  };
}

/** Emits the mask of the encoder's self-attention. */
export function emitSourceMask(graph: GraphBuilder, layout: Seq2SeqLayout): Values {
  const { encoder } = layout;
  return encoder.start instanceof WordEmbedding
    ? { [sourceMask]: emitWholeMask(graph, 'attention_mask', undefined, encoder.distanceBias) }
    : {};
}

/** Emits those of the decoder's attentions, the source's own mask being `attended`. */
export function emitTargetMasks(
  graph: GraphBuilder,
  { encoder, decoder }: Seq2SeqLayout,
  inputs: ModelInputs,
  attended: Value = 'attention_mask',
): Values {
  return {
    ...(encoder.start instanceof WordEmbedding
      ? { [crossMask]: emitWholeMask(graph, attended, undefined, undefined) }
      : {}),
    [targetMask]: emitCausalMask(graph, inputs, undefined, undefined, decoder.distanceBias),
  };
}

/** Emits the encoder's first hidden states. */
export const emitSource = (graph: GraphBuilder, { encoder }: Seq2SeqLayout): Value =>
  graph.within('source', () =>
    encoder.start instanceof SpectrogramEmbedding
      ? encoder.start.emit(graph, 'input_features')
      : emitWords(graph, encoder.start, 'input_ids'),
  );

/**
 * Emits the decoder's first hidden states.
 * @param positionIds int64 [batch, sequence]; counted from 0 when absent
 */
export const emitTarget = (
  graph: GraphBuilder,
  { decoder }: Seq2SeqLayout,
  ids: Value = 'decoder_input_ids',
  positionIds?: Value,
): Value => graph.within('target', () => emitWords(graph, decoder.start, ids, positionIds));

const emitWords = (
  graph: GraphBuilder,
  words: WordEmbedding,
  ids: Value,
  positionIds?: Value,
): Value =>
  words.emit(
    graph,
    ids,
    () =>
      positionIds ?? graph.op('Unsqueeze', [emitPositions(graph, undefined, ids), graph.ints([0])]),
  );

/** Emits what the decoder reads of the encoder's last hidden states. */
export function emitEncoded(
  graph: GraphBuilder,
  { norm, encoder: { finalNorm } }: Seq2SeqLayout,
  hidden: Value,
): Value {
  return finalNorm === undefined
    ? hidden
    : graph.step('encoder-norm', () => emitNorm(graph, norm, hidden, finalNorm));
}
