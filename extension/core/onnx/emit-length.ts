import type { GraphBuilder, Value } from './graph-builder';

/** First opset whose Shape can select a range of dimensions. */
const shapeSliceOpset = 15;

/** Emits how long `x` is along an axis: int64 [1]. */
export const emitLength = (graph: GraphBuilder, x: Value, axis: number): Value =>
  graph.opset < shapeSliceOpset
    ? graph.op('Slice', [graph.op('Shape', [x]), graph.ints([axis]), graph.ints([axis + 1])])
    : graph.op('Shape', [x], { start: axis, end: axis + 1 });
