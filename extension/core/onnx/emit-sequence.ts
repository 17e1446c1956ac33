import type { GraphBuilder, Value, Dimension } from './graph-builder';
import { DataType } from './graph-builder';

/** A state that a scan carries along, or the item of its result; float32. */
interface Carried {
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/**
 * Maps the state and one item of each, which lacks axis 1, to the next state and to one item of the result. May read
 * values of the graph around it, but no weights.
 */
export type ScanStep = (
  body: GraphBuilder,
  state: Value,
  items: readonly Value[],
) => { readonly next: Value; readonly result: Value };

/** Emits a Scan along axis 1 of `items`, all float32; `shape` is that of one item of the results. */
export function emitScan(
  graph: GraphBuilder,
  state: Carried,
  items: readonly Value[],
  shape: readonly Dimension[],
  step: ScanStep,
): { readonly last: Value; readonly results: Value } {
  const body = graph.nested();
  const { name } = body;
  const first = body.input(`${name}/state`, DataType.FLOAT, state.shape);
  const each = items.map((_, i) => body.input(`${name}/item_${i}`, DataType.FLOAT));
  const { next, result } = step(body, first, each);
  body.output(`${name}/next`, next, DataType.FLOAT, state.shape);
  body.output(`${name}/result`, result, DataType.FLOAT, shape);
  const [last = '', results = ''] = graph.ops('Scan', [state.value, ...items], 2, {
    body: body.graph,
    num_scan_inputs: items.length,
    scan_input_axes: items.map(() => 1),
    scan_output_axes: [1],
  });
  return { last, results };
}

/** First opset whose Shape can select a range of dimensions. */
const shapeSliceOpset = 15;

/** Emits how long `x` is along an axis: int64 [1]. */
export const emitLength = (graph: GraphBuilder, x: Value, axis: number): Value =>
  graph.opset < shapeSliceOpset
    ? graph.op('Slice', [graph.op('Shape', [x]), graph.ints([axis]), graph.ints([axis + 1])])
    : graph.op('Shape', [x], { start: axis, end: axis + 1 });
