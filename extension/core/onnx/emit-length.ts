import type { GraphBuilder, Value } from './graph-builder';

/** Emits how long `x` is along an axis: int64 [1]. */
export const emitLength = (graph: GraphBuilder, x: Value, axis: number): Value =>
  graph.op('Slice', [graph.op('Shape', [x]), graph.ints([axis]), graph.ints([axis + 1])]);
