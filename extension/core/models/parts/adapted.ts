import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import type { Norm } from './norm';

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

/** Additional parts of attention in a shared transformer block. The block's own linear layer is the output projection. */
export interface SharedParts {
  /** Adapters of query, key and value; empty without adapters. */
  readonly adapters: readonly Adapter[];
  readonly attended: Linear;
  readonly norm: Norm;
  /** Gate and up in one matrix. */
  readonly gateUp: Linear;
  readonly gateUpAdapter: Adapter;
  readonly down: Linear;
  readonly activation: string;
}

/** Linear layers of a shared transformer besides query, key, value and output. */
export const sharedPartLinears = (shared: SharedParts): Linear[] => [
  ...[...shared.adapters, shared.gateUpAdapter].flatMap(({ down, up }) => [down, up]),
  shared.attended,
  shared.gateUp,
  shared.down,
];
