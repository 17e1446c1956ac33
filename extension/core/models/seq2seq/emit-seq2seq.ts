import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitPositions } from '../encoders/encoder-inputs';
import type { ModelInputs, SideValue, Values } from '../model-emitter';
import { emitCausalMask, emitWholeMask } from '../parts/causal-mask';
import { emitActivation } from '../parts/activations';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm, emitNorms } from '../parts/norm';
import { emitPlaces } from '../parts/places';
import { emitWeight } from '../parts/weight';
import type { Sublayer } from '../modules/sublayer-list';
import type { Seq2SeqLayout, Tower } from './seq2seq-layout';

const sourceMask = 'mask.source';
const targetMask = 'mask';
const crossMask = 'mask.cross';

/** Every mask: of the encoder's attentions, the decoder's, and those between; a spectrogram is seen whole. */
export function seq2SeqMasks({ encoder, decoder, convolutions }: Seq2SeqLayout): SideValue[] {
  const headCount = ({ distanceBias }: Tower): number => distanceBias?.table.shape[1] ?? 1;
  const rows = encoder.distanceBias === undefined ? 1 : 'sequence';
  return [
    ...(convolutions === undefined
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

/** Emits that of the encoder's attentions. */
export function emitSourceMask(graph: GraphBuilder, layout: Seq2SeqLayout): Values {
  const { encoder, convolutions } = layout;
  return convolutions === undefined
    ? { [sourceMask]: emitWholeMask(graph, 'attention_mask', undefined, encoder.distanceBias) }
    : {};
}

/** Emits those of the decoder's attentions, the source's own mask being `attended`. */
export function emitTargetMasks(
  graph: GraphBuilder,
  { decoder, convolutions }: Seq2SeqLayout,
  inputs: ModelInputs,
  attended: Value = 'attention_mask',
): Values {
  return {
    ...(convolutions === undefined
      ? { [crossMask]: emitWholeMask(graph, attended, undefined, undefined) }
      : {}),
    [targetMask]: emitCausalMask(graph, inputs, undefined, undefined, decoder.distanceBias),
  };
}

/** Emits the encoder's first hidden states. */
export function emitSource(graph: GraphBuilder, layout: Seq2SeqLayout): Value {
  const { convolutions, encoder, norm } = layout;
  if (convolutions === undefined) {
    return graph.within('source', () =>
      emitWords(graph, layout, layout.words, encoder, 'input_ids'),
    );
  }
  return graph.within('source', () => {
    const heard = graph.step('convolutions', () =>
      convolutions.reduce(
        (x, convolution, i) => emitConvolution(graph, convolution, i + 1, x),
        'input_features',
      ),
    );
    const frames = graph.op('Transpose', [heard], { perm: [0, 2, 1] });
    const { positions, norms } = encoder.start;
    const placed =
      positions !== undefined && 'weight' in positions
        ? graph.op('Add', [frames, emitWeight(graph, positions.weight)])
        : frames;
    return emitNorms(graph, norm, placed, norms);
  });
}

/**
 * Emits the decoder's first hidden states.
 * @param positionIds int64 [batch, sequence]; counted from 0 when absent
 */
export function emitTarget(
  graph: GraphBuilder,
  layout: Seq2SeqLayout,
  ids: Value = 'decoder_input_ids',
  positionIds?: Value,
): Value {
  const { targetWords, decoder } = layout;
  return graph.within('target', () =>
    emitWords(graph, layout, targetWords, decoder, ids, positionIds),
  );
}

function emitWords(
  graph: GraphBuilder,
  { scales, norm }: Seq2SeqLayout,
  words: Linear,
  { start: { positions, wordNorm, norms }, attention }: Tower,
  ids: Value,
  positionIds?: Value,
): Value {
  const rows = emitTableRows(graph, words, ids);
  const raised =
    scales.embedding === 1 ? rows : graph.op('Mul', [rows, graph.scalar(scales.embedding)]);
  const scaled = wordNorm === undefined ? raised : emitNorm(graph, norm, raised, wordNorm);
  if (positions === undefined) {
    return emitNorms(graph, norm, scaled, norms);
  }
  const numbers =
    positionIds ?? graph.op('Unsqueeze', [emitPositions(graph, undefined, ids), graph.ints([0])]);
  const places = emitPlaces(graph, positions, numbers, attention.hiddenSize);
  return emitNorms(graph, norm, graph.op('Add', [scaled, places]), norms);
}

/** Emits a convolution of width 3 over [batch, channels, frames], and GELU. */
function emitConvolution(
  graph: GraphBuilder,
  { weight, bias }: Linear,
  stride: number,
  x: Value,
): Value {
  const added = bias === undefined ? [] : [emitWeight(graph, bias)];
  const sum = graph.op('Conv', [x, emitWeight(graph, weight), ...added], {
    kernel_shape: [3],
    pads: [1, 1],
    strides: [stride],
  });
  return emitActivation(graph, 'gelu', sum);
}

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

/** Emits what the model gives of the decoder's last hidden states: their norm, and the head where there is one. */
export function emitHead(
  graph: GraphBuilder,
  { norm, decoder, head, scales }: Seq2SeqLayout,
  hidden: Value,
): Value {
  return graph.within('epilogue', () => {
    const { finalNorm } = decoder;
    const normed = finalNorm === undefined ? hidden : emitNorm(graph, norm, hidden, finalNorm);
    if (head === undefined) {
      return normed;
    }
    const scaled =
      scales.head === 1 ? normed : graph.op('Mul', [normed, graph.scalar(scales.head)]);
    return emitLinearOver(graph, head.linear, scaled);
  });
}
