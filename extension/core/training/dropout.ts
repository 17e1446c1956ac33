import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';

/** Odd factors of MurmurHash3's finalizer and of the golden ratio, as signed 32-bit numbers. */
const factors = [0x85ebca6b | 0, 0xc2b2ae35 | 0] as const;
const golden = 0x9e3779b9 | 0;
/** Bits of a random number that are compared with the rate; float32 represents them exactly. */
const bits = 24;

/** Key of a training step, a signed 32-bit hash. */
export function stepKey(seed: number, step: number): number {
  let x = Math.imul(seed | 0, golden) + Math.imul(step | 0, factors[0]);
  for (const factor of factors) {
    x = Math.imul(x ^ (x >>> 16), factor);
  }
  return (x ^ (x >>> 15)) | 0;
}

/**
 * Emits inverted dropout (Srivastava et al. 2014): each element of float32 `x` is 0 with probability `rate`, and
 * divided by 1 − rate otherwise. A counter-based hash in 32-bit arithmetic of `key` (int32 scalar), `layer` and the
 * element's index decides, so a step can be repeated exactly.
 */
export function emitDropout(
  graph: GraphBuilder,
  x: Value,
  rate: number,
  key: Value,
  layer: number,
): Value {
  const int = (value: number): Value => graph.numbers(DataType.INT32, [value | 0], []);
  const cast = (value: Value, to: DataType): Value => graph.op('Cast', [value], { to });
  const shiftRight = (value: Value, by: number): Value => {
    const unsigned = cast(value, DataType.UINT32);
    const shifted = graph.op('BitShift', [unsigned, cast(int(by), DataType.UINT32)], {
      direction: 'RIGHT',
    });
    return cast(shifted, DataType.INT32);
  };
  // x · (2x + 1), the permutation of RC6 (Rivest et al. 1998), propagates every bit upward, and the shift propagates
  // upper bits down. Addition alone can't replace exclusive or, which opset 17 lacks.
  const mix = (value: Value): Value =>
    factors.reduce((mixed, factor) => {
      const odd = graph.op('Add', [graph.op('Mul', [mixed, int(2)]), int(1)]);
      const squared = graph.op('Mul', [mixed, odd]);
      return graph.op('Mul', [graph.op('Add', [squared, shiftRight(squared, 16)]), int(factor)]);
    }, value);
  return graph.within('dropout', () => {
    const count = cast(graph.op('Size', [x]), DataType.INT32);
    const places = graph.op('Range', [int(0), count, int(1)]);
    const start = mix(graph.op('Add', [key, int(Math.imul(layer + 1, golden))]));
    const spread = graph.op('Mul', [places, int(golden)]);
    const random = shiftRight(mix(graph.op('Add', [spread, start])), 32 - bits);
    const threshold = int(Math.round(rate * 2 ** bits));
    const mask = graph.op('GreaterOrEqual', [random, threshold]);
    const scaled = graph.op('Mul', [cast(mask, DataType.FLOAT), graph.scalar(1 / (1 - rate))]);
    return graph.op('Mul', [x, graph.op('Reshape', [scaled, graph.op('Shape', [x])])]);
  });
}
