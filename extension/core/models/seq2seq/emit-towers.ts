import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Values } from '../model-emitter';
import { emitNorm, emitNorms } from '../parts/norm';
import { emitBranch, emitSource, emitTarget, maskOf } from './emit-seq2seq';
import type { Seq2SeqLayout, Tower } from './seq2seq-layout';

/** Emits what the decoder is given of the encoder's last hidden states. */
export function emitEncoded(
  graph: GraphBuilder,
  { norm, encoder }: Seq2SeqLayout,
  hidden: Value,
): Value {
  return encoder.finalNorm === undefined
    ? hidden
    : emitNorm(graph, norm, hidden, encoder.finalNorm);
}

/** Emits the encoder without the sublayers of `removed`, from what it reads to what it gives. */
export function emitEncoder(
  graph: GraphBuilder,
  layout: Seq2SeqLayout,
  masks: Values,
  removed: ReadonlySet<number>,
): Value {
  const first = emitSource(graph, layout);
  const side = { masks, encoded: '' };
  const last = emitTower(graph, layout, layout.encoder, first, side, (i) => removed.has(i));
  return emitEncoded(graph, layout, last);
}

/** Emits the decoder without the sublayers of `removed`, up to its last hidden states. */
export function emitDecoder(
  graph: GraphBuilder,
  layout: Seq2SeqLayout,
  masks: Values,
  removed: ReadonlySet<number>,
  encoded: Value,
): Value {
  const { encoder, decoder } = layout;
  const side = { masks, encoded };
  const isRemoved = (i: number): boolean => removed.has(encoder.sublayers.length + i);
  return emitTower(graph, layout, decoder, emitTarget(graph, layout), side, isRemoved);
}

function emitTower(
  graph: GraphBuilder,
  layout: Seq2SeqLayout,
  tower: Tower,
  first: Value,
  { masks, encoded }: { readonly masks: Values; readonly encoded: Value },
  isRemoved: (index: number) => boolean,
): Value {
  return tower.sublayers.reduce((hidden, sublayer, i) => {
    const mask = maskOf(layout, tower, sublayer);
    return isRemoved(i)
      ? emitNorms(graph, layout.norm, hidden, sublayer.weights.sumNorms)
      : emitBranch(graph, tower, sublayer, hidden, { mask: mask && masks[mask.name], encoded });
  }, first);
}
