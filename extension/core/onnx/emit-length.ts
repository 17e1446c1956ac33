import type { GraphBuilder, Value } from './graph-builder';

/** From here on Shape gives a part of the sizes. */
const shapeSliceOpset = 15;

/** Emits how long `x` is along an axis: int64 [1]. */
export const emitLength = (graph: GraphBuilder, x: Value, axis: number): Value =>
  graph.opset < shapeSliceOpset
    ? graph.op('Slice', [graph.op('Shape', [x]), graph.ints([axis]), graph.ints([axis + 1])])
    : graph.op('Shape', [x], { start: axis, end: axis + 1 });
