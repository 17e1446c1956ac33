import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinear } from './linear';
import type { Linear } from './linear';

/** Two linear layers, without biases, with a narrow one between them. */
export interface Adapter {
  readonly down: Linear;
  readonly up: Linear;
}

/** Emits linear(rows) + up(down(rows)). */
export function emitAdapted(
  graph: GraphBuilder,
  linear: Linear,
  adapter: Adapter | undefined,
  rows: Value,
): Value {
  const own = emitLinear(graph, linear, rows);
  return adapter === undefined
    ? own
    : graph.op('Add', [own, emitLinear(graph, adapter.up, emitLinear(graph, adapter.down, rows))]);
}
