import type { GraphBuilder } from '../../onnx/graph-builder';
import type { SideValue, Values } from '../model-emitter';
import { emitSides, sideValuesOf } from '../transformer/side-values';
import type { Sided } from '../transformer/side-values';
import { emitPositions } from './encoder-inputs';
import type { EncoderLayout } from './encoder-layout';

/** What the side values of an encoder depend on. */
export const sidedOf = (layout: EncoderLayout): Sided => ({ ...layout, seesWhole: !layout.causal });

/** Every side value of an encoder of texts. */
export function encoderSideValues(layout: EncoderLayout): SideValue[] {
  return sideValuesOf(sidedOf(layout)).map(({ name, shape }) => ({
    name,
    shape: shape.map((size) => (size === 'total' ? 'sequence' : size)),
  }));
}

/** Emits all of them, by name. */
export function emitEncoderSides(graph: GraphBuilder, layout: EncoderLayout): Values {
  const [inputIds, attentionMask] = ['input_ids', 'attention_mask'] as const;
  const positionIds =
    layout.rotaries.size === 0
      ? ''
      : graph.op('Unsqueeze', [emitPositions(graph, undefined, inputIds), graph.ints([0])]);
  return emitSides(graph, sidedOf(layout), { inputIds, attentionMask, positionIds });
}
