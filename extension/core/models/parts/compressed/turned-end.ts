import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { emitRotation } from '../rotary';
import type { Rotary } from '../rotary';

/** Cosines and sines. */
interface Tables {
  readonly cos: Value;
  readonly sin: Value;
}

/** Emits heads [batch, heads, sequence, size] in two: dimensions that are not turned, and those behind them. */
const emitParts = (
  graph: GraphBuilder,
  { dimensions }: Rotary,
  size: number,
  heads: Value,
): Value[] =>
  graph.ops('Split', [heads, graph.ints([size - dimensions, dimensions])], 2, { axis: -1 });

/** Emits heads whose last dimensions are turned, in the order in which {@link emitRotation} leaves pairs. */
export function emitTurnedEnd(
  graph: GraphBuilder,
  rotary: Rotary,
  size: number,
  heads: Value,
  tables: Tables,
): Value {
  return graph.step('rotate', () => {
    const [plain = '', turning = ''] = emitParts(graph, rotary, size, heads);
    const turned = emitRotation(graph, rotary, rotary.dimensions, turning, tables);
    return graph.op('Concat', [plain, turned], { axis: -1 });
  });
}

/** Emits heads turned back, with their pairs side by side again. */
export function emitTurnedBack(
  graph: GraphBuilder,
  rotary: Rotary,
  size: number,
  heads: Value,
  { cos, sin }: Tables,
): Value {
  return graph.step('rotate', () => {
    const [plain = '', turning = ''] = emitParts(graph, rotary, size, heads);
    const halves = { ...rotary, interleaved: false };
    const { dimensions } = rotary;
    const back = emitRotation(graph, halves, dimensions, turning, {
      cos,
      sin: graph.op('Neg', [sin]),
    });
    const stacked = graph.op('Reshape', [back, graph.ints([0, 0, 0, 2, dimensions / 2])]);
    const pairs = graph.op('Transpose', [stacked], { perm: [0, 1, 2, 4, 3] });
    const beside = graph.op('Reshape', [pairs, graph.ints([0, 0, 0, dimensions])]);
    return graph.op('Concat', [plain, beside], { axis: -1 });
  });
}
