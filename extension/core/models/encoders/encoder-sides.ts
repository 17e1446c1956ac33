import { emitLength } from '../../onnx/emit-length';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { SideValue, Values } from '../model-emitter';
import type { SideInputs } from '../modules/sublayer';
import type { Sublayer } from '../modules/sublayer-list';
import { emitDistanceBias } from '../parts/distance-bias';
import { emitGridRotation } from '../parts/grid-rotary';
import { emitSides, sideInputs, sideNames, listSideValues } from '../transformer/side-values';
import type { Sided } from '../transformer/side-values';
import { emitPositions } from './encoder-inputs';
import type { EncoderLayout } from './encoder-layout';

/** Relative position bias, multiplied by the gate of each attention. */
const biasName = 'bias';

/** 1 for the token that a text ends with, 0 for others. */
export const endName = 'end';

/** Parts of a text encoder that its side values depend on. */
const sideLayout = (layout: EncoderLayout): Sided => ({ ...layout, seesWhole: !layout.causal });

/** Every side value of an encoder. */
export function encoderSideValues(layout: EncoderLayout): SideValue[] {
  const { embedding, gatedBias } = layout;
  if (embedding.kind !== 'text') {
    const heads = gatedBias?.table.shape[1] ?? 1;
    return gatedBias === undefined
      ? []
      : [{ name: biasName, shape: ['side_batch', heads, 'sequence', 'sequence'] }];
  }
  const blockSides = listSideValues(sideLayout(layout)).map(({ name, shape }) => ({
    name,
    shape: shape.map((size) => (size === 'total' ? 'sequence' : size)),
  }));
  const headSides = headSideNames(layout).map((name) => ({
    name,
    shape: ['side_batch', 'sequence', 1],
  }));
  return [...blockSides, ...headSides];
}

/** Names of the side values that the head needs. */
export function headSideNames({ head }: Pick<EncoderLayout, 'head'>): string[] {
  return head?.reads === 'end' ? [endName] : [];
}

/** Names of the side values that a sublayer needs. */
export function encoderSideNames(layout: EncoderLayout, sublayer: Sublayer): string[] {
  if (layout.embedding.kind === 'text') {
    return sideNames(sideLayout(layout), sublayer);
  }
  return layout.gatedBias !== undefined && sublayer.reach !== undefined ? [biasName] : [];
}

/** Emits all side inputs of an encoder (masks, position biases, rotary tables) for the first hidden states [batch, sequence, hidden], by name. */
export function emitEncoderSides(
  graph: GraphBuilder,
  layout: EncoderLayout,
  hidden: Value,
): Values {
  const { embedding, gatedBias, rotaries } = layout;
  if (embedding.kind !== 'text') {
    return gatedBias === undefined
      ? {}
      : {
          [biasName]: emitDistanceBias(graph, gatedBias, emitAhead(graph, hidden)),
        };
  }
  const [inputIds, attentionMask] = ['input_ids', 'attention_mask'] as const;
  const positionIds =
    rotaries.size === 0
      ? ''
      : graph.op('Unsqueeze', [emitPositions(graph, undefined, inputIds), graph.ints([0])]);
  const sides = emitSides(graph, sideLayout(layout), { inputIds, attentionMask, positionIds });
  const { end } = layout.head ?? {};
  return end === undefined ? sides : { ...sides, [endName]: emitEnd(graph, inputIds, end) };
}

/** Emits where `ids` [batch, sequence] first are `end`: float [batch, sequence, 1]. */
function emitEnd(graph: GraphBuilder, ids: Value, end: number | 'largest'): Value {
  const isEnd = end === 'largest' ? ids : graph.op('Equal', [ids, graph.ints([end], [])]);
  const found = graph.op('ArgMax', [graph.op('Cast', [isEnd], { to: DataType.FLOAT })], {
    axis: 1,
  });
  const isThere = graph.op('Equal', [emitPositions(graph, undefined, ids), found]);
  return graph.op('Unsqueeze', [
    graph.op('Cast', [isThere], { to: DataType.FLOAT }),
    graph.ints([2]),
  ]);
}

/** Returns the side values that a sublayer reads. */
export function encoderSideInputs(
  graph: GraphBuilder,
  layout: EncoderLayout,
  sublayer: Sublayer,
  side: Values,
): SideInputs {
  const { embedding, gatedBias, gridRotary } = layout;
  if (embedding.kind === 'text') {
    return sideInputs(sideLayout(layout), sublayer, side);
  }
  if (sublayer.reach === undefined) {
    return {};
  }
  const { [biasName]: mask = '' } = side;
  return {
    ...(gatedBias === undefined ? {} : { mask }),
    ...(gridRotary === undefined ? {} : { rotation: emitGridRotation(graph, gridRotary) }),
  };
}

/** Difference of positions for each pair: int64 [sequence, sequence]. */
function emitAhead(graph: GraphBuilder, hidden: Value): Value {
  const size = emitLength(graph, hidden, 1);
  const places = graph.op('Range', [
    graph.ints([0], []),
    graph.op('Squeeze', [size]),
    graph.ints([1], []),
  ]);
  return graph.op('Sub', [places, graph.op('Unsqueeze', [places, graph.ints([1])])]);
}
