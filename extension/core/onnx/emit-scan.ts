import { DataType } from './graph-builder';
import type { Dimension, GraphBuilder, Value } from './graph-builder';

/** A state that a scan carries along, or the item of its result; float32. */
interface Carried {
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/**
 * Emits a Scan along axis 1 of `items`, all float32: `step` maps the state and one item of each, which lacks that
 * axis, to the next state and to one item of the result, of shape `shape`. It may read values of the graph around
 * it, but no weights.
 */
export function emitScan(
  graph: GraphBuilder,
  state: Carried,
  items: readonly Value[],
  shape: readonly Dimension[],
  step: (
    body: GraphBuilder,
    state: Value,
    items: readonly Value[],
  ) => { readonly next: Value; readonly result: Value },
): Value {
  const body = graph.nested();
  const { name } = body;
  const first = body.input(`${name}/state`, DataType.FLOAT, state.shape);
  const each = items.map((_, i) => body.input(`${name}/item_${i}`, DataType.FLOAT));
  const { next, result } = step(body, first, each);
  body.output(`${name}/next`, next, DataType.FLOAT, state.shape);
  body.output(`${name}/result`, result, DataType.FLOAT, shape);
  const [, results = ''] = graph.ops('Scan', [state.value, ...items], 2, {
    body: body.graph,
    num_scan_inputs: items.length,
    scan_input_axes: items.map(() => 1),
    scan_output_axes: [1],
  });
  return results;
}
