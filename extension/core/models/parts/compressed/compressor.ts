import { emitLength } from '../../../onnx/emit-sequence';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { SublayerCache } from '../../model-emitter';
import { maskedScore } from '../causal-mask';
import { emitLinear } from '../linear';
import type { Linear } from '../linear';
import { emitNorm } from '../norm';
import type { NormStyle } from '../norm';
import { emitRotaryTables } from '../rotary';
import type { Rotary } from '../rotary';
import { emitWeight } from '../weight';
import type { Compressor } from './compressed-parts';
import { emitRotatedEnd } from './rotary-end';

/** Width of a compressed key. */
const keyDim = ({ norm }: Compressor): number => norm.weight?.shape.at(-1) ?? 0;

/** Rows to compress and their rotary embedding. */
export interface Compressing {
  /** [batch · sequence, hidden] */
  readonly rows: Value;
  /** [2]: batch, sequence. */
  readonly leading: Value;
  readonly style: NormStyle;
  readonly rotary: Rotary;
  readonly cache: SublayerCache | undefined;
}

/**
 * Emits compressed keys [batch, 1, runs + 1, dim] of all tokens so far. The last one belongs to an incomplete run and
 * is always masked; without it, a short text would have no key at all.
 * @param name prefix of its cached values
 */
export function emitCompressed(
  graph: GraphBuilder,
  compressor: Compressor,
  { rows, leading, style, rotary, cache }: Compressing,
  name: string,
): Value {
  const { rate, values, gate, places } = compressor;
  const dim = keyDim(compressor);
  const [width = 0] = values.weight.shape;
  const allRows = (linear: Linear, part: string): Value => {
    const size = graph.op('Concat', [leading, graph.ints([width])], { axis: 0 });
    const own = graph.op('Unsqueeze', [
      graph.op('Reshape', [emitLinear(graph, linear, rows), size]),
      graph.ints([1]),
    ]);
    const cacheName = `${name}.${part}`;
    const past = cache?.past(cacheName, [1, 'positions', width]);
    const all = past === undefined ? own : graph.op('Concat', [past, own], { axis: 2 });
    cache?.keep(cacheName, all);
    return all;
  };
  const allValues = allRows(values, 'values');
  const total = emitLength(graph, allValues, 2);
  const step = graph.ints([rate]);
  const runs = graph.op('Div', [graph.op('Add', [total, step]), step]);
  /** [batch, runs, rate, width] */
  const splitRuns = (x: Value): Value => {
    const padded = graph.op('Pad', [x, graph.ints([0, 0, 0, 0, 0, 0, rate, 0])]);
    const used = graph.op('Slice', [
      padded,
      graph.ints([0]),
      graph.op('Mul', [runs, step]),
      graph.ints([2]),
    ]);
    const batch = graph.op('Slice', [leading, graph.ints([0]), graph.ints([1])]);
    return graph.op('Reshape', [
      used,
      graph.op('Concat', [batch, runs, graph.ints([rate, width])], { axis: 0 }),
    ]);
  };
  const gates = graph.op('Add', [splitRuns(allRows(gate, 'gates')), emitWeight(graph, places)]);
  const given = splitRuns(allValues);
  const overlaps = width > dim;
  const weights = graph.op(
    'Softmax',
    [overlaps ? emitOverlapping(graph, gates, maskedScore) : gates],
    { axis: 2 },
  );
  const weighted = graph.op('Mul', [overlaps ? emitOverlapping(graph, given, 0) : given, weights]);
  const sums = graph.op('ReduceSum', [weighted, graph.ints([2])], { keepdims: 0 });
  const keys = graph.op('Unsqueeze', [
    emitNorm(graph, style, sums, compressor.norm),
    graph.ints([1]),
  ]);
  const starts = graph.op('Mul', [emitNumbers(graph, runs), step]);
  const tables = emitRotaryTables(graph, rotary, graph.op('Unsqueeze', [starts, graph.ints([0])]));
  return emitRotatedEnd(graph, rotary, dim, keys, tables);
}

/** 0, 1, … below a count [1]. */
const emitNumbers = (graph: GraphBuilder, count: Value): Value =>
  graph.op('Range', [
    graph.ints([0], []),
    graph.op('Squeeze', [count, graph.ints([0])]),
    graph.ints([1], []),
  ]);

/**
 * Emits [batch, runs, 2 · rate, dim] from [batch, runs, rate, 2 · dim]: the first halves of the previous run, followed
 * by the second halves of the run itself. `none` precedes the first run.
 */
function emitOverlapping(graph: GraphBuilder, x: Value, none: number): Value {
  const [before = '', own = ''] = graph.ops('Split', [x], 2, { axis: 3 });
  const shifted = graph.op('Pad', [
    before,
    graph.ints([0, 1, 0, 0, 0, -1, 0, 0]),
    graph.scalar(none),
  ]);
  return graph.op('Concat', [shifted, own], { axis: 2 });
}

/** Emits the mask of compressed keys whose runs have ended: bool [batch | 1, sequence, keys]. */
export function emitEndedMask(
  graph: GraphBuilder,
  { rate }: Compressor,
  positions: Value,
  keys: Value,
): Value {
  const count = emitLength(graph, keys, 2);
  const next = graph.op('Add', [emitNumbers(graph, count), graph.ints([1], [])]);
  const ends = graph.op('Cast', [graph.op('Mul', [next, graph.ints([rate], [])])], { to: 1 });
  return graph.op('LessOrEqual', [ends, graph.op('Add', [positions, graph.scalar(1)])]);
}
