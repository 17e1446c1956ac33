import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs } from '../model-emitter';
import { emitLinearOver, emitTableRows } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import { emitPlaces } from '../parts/places';
import type { TransformerLayout } from './transformer-layout';

/** Emits rows of the embedding, scaled, with what positions add, normed. */
export function emitEmbedding(
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
