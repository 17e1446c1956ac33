import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs, Values } from '../model-emitter';
import { emitEnter } from '../parts/streams/altup';
import { emitEnds, emitPerLayer } from '../parts/block-end';
import type { Streams } from '../parts/block-end';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import { emitNorm, emitNorms } from '../parts/norm';
import { emitPlaces } from '../parts/places';
import { emitSpread } from '../parts/streams/hyper-connections';
import { emitIds, emitSides, givesEmbedded } from './side-values';
import type { TransformerLayout } from './transformer-layout';

/** Emits rows of the embedding, scaled, with what positions add, normed. */
function emitEmbedding(
  graph: GraphBuilder,
  {
    embedding,
    positions,
    embeddingNorm,
    normsWordsAlone,
    projections,
    scales,
    attention,
  }: TransformerLayout,
  { inputIds, positionIds }: ModelInputs,
): Value {
  const rows = emitTableRows(graph, embedding, inputIds);
  const scaled =
    scales.embedding === 1 ? rows : graph.op('Mul', [rows, graph.scalar(scales.embedding)]);
  const words = projections === undefined ? scaled : emitLinearOver(graph, projections.in, scaled);
  const normed = (x: Value): Value =>
    embeddingNorm === undefined ? x : emitNorm(graph, attention.norm, x, embeddingNorm);
  if (positions === undefined) {
    return normed(words);
  }
  const places = emitPlaces(graph, positions, positionIds, attention.hiddenSize);
  return normsWordsAlone
    ? graph.op('Add', [normed(words), places])
    : normed(graph.op('Add', [words, places]));
}

/**
 * Emits side values, and the streams before the first sublayer. Stores in `seen` the stream before
 * the ends of removed blocks.
 */
export function emitStart(
  graph: GraphBuilder,
  layout: TransformerLayout,
  inputs: ModelInputs,
  seen: Map<number, Value>,
): Streams & { readonly side: Values } {
  return graph.within('prologue', () => {
    const { attention, feedforward, perLayer, startNorms, startEnds, altUp, streams } = layout;
    const embedded = emitEmbedding(graph, layout, inputs);
    const side = {
      ...graph.step('side', () => emitSides(graph, layout, inputs)),
      ...emitIds(graph, layout, inputs),
      ...(givesEmbedded(layout) ? { embedded } : {}),
      ...(perLayer === undefined
        ? {}
        : emitPerLayer(graph, attention.norm, perLayer, inputs.inputIds, embedded)),
    };
    const normed = emitNorms(graph, attention.norm, embedded, startNorms);
    const expected =
      altUp === undefined ? [] : graph.step('streams', () => emitEnter(graph, altUp, normed));
    const hidden =
      streams === undefined
        ? normed
        : graph.step('streams', () => emitSpread(graph, streams, normed));
    const first = { hidden, expected };
    return { ...emitEnds(graph, feedforward, startEnds, first, side, seen), side };
  });
}
