import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { emitRotation } from '../rotary';
import type { Rotary } from '../rotary';

/** Cosines and sines. */
interface Tables {
  readonly cos: Value;
  readonly sin: Value;
}

/** Splits heads [batch, heads, sequence, size] into dimensions without and with rotary embedding. */
const emitParts = (
  graph: GraphBuilder,
  { dimensions }: Rotary,
  size: number,
  heads: Value,
): Value[] =>
  graph.ops('Split', [heads, graph.ints([size - dimensions, dimensions])], 2, { axis: -1 });

/**
 * Applies the rotary embedding to the last dimensions of each head; the others are unchanged. Pairs are in the order of
 * {@link emitRotation}.
 */
export function emitRotatedEnd(
  graph: GraphBuilder,
  rotary: Rotary,
  size: number,
  heads: Value,
  tables: Tables,
): Value {
  return graph.step('rotate', () => {
    const [plain = '', rotaryPart = ''] = emitParts(graph, rotary, size, heads);
    const rotated = emitRotation(graph, rotary, rotary.dimensions, rotaryPart, tables);
    return graph.op('Concat', [plain, rotated], { axis: -1 });
  });
}

/** Inverts the rotary embedding and restores the order of interleaved pairs. */
export function emitUnrotatedEnd(
  graph: GraphBuilder,
  rotary: Rotary,
  size: number,
  heads: Value,
  { cos, sin }: Tables,
): Value {
  return graph.step('rotate', () => {
    const [plain = '', rotaryPart = ''] = emitParts(graph, rotary, size, heads);
    const halves = { ...rotary, interleaved: false };
    const { dimensions } = rotary;
    const back = emitRotation(graph, halves, dimensions, rotaryPart, {
      cos,
      sin: graph.op('Neg', [sin]),
    });
    const stacked = graph.op('Reshape', [back, graph.ints([0, 0, 0, 2, dimensions / 2])]);
    const pairs = graph.op('Transpose', [stacked], { perm: [0, 1, 2, 4, 3] });
    const beside = graph.op('Reshape', [pairs, graph.ints([0, 0, 0, dimensions])]);
    return graph.op('Concat', [plain, beside], { axis: -1 });
  });
}
