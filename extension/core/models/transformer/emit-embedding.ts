import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { ModelInputs, Values } from '../model-emitter';
import { emitEnter } from '../parts/streams/altup';
import { emitEnds, emitPerLayer } from '../parts/block-end';
import type { Streams } from '../parts/block-end';
import { emitNorms } from '../parts/norm';
import { emitSpread } from '../parts/streams/hyper-connections';
import { emitIds, emitSides, givesEmbedded } from './side-values';
import type { TransformerLayout } from './transformer-layout';

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
    const embedded = layout.embedding.emit(graph, inputs.inputIds, () => inputs.positionIds);
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
