import { emitLength } from '../../../onnx/emit-sequence';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { SublayerCache } from '../../model-emitter';
import { maskedScore } from '../causal-mask';
import { emitLinear } from '../linear';
import type { Linear } from '../linear';
import { emitNorm } from '../norm';
import type { NormStyle } from '../norm';
import { emitRotaryTables, emitRotation } from '../rotary';
import type { Rotary } from '../rotary';
import { emitWeight } from '../weight';
import type { Compressor, Indexer } from './compressed-parts';

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

/**
 * Emits 0 for the keys of the highest scores Σₕ wₕ · relu(queryₕ · key), and the lowest float32 for others:
 * [batch, sequence, keys].
 * @param latent of queries: [batch · sequence, rank]
 * @param ended bool [batch | 1, sequence, keys]
 */
export function emitSelectionMask(
  graph: GraphBuilder,
  { compressor, numHeads, headDim, best, query, weights }: Indexer,
  compressing: Compressing,
  latent: Value,
  tables: { readonly cos: Value; readonly sin: Value },
  ended: Value,
): Value {
  const { rows, leading, rotary } = compressing;
  const splitHeads = (x: Value, ...sizes: readonly number[]): Value => {
    const size = graph.op('Concat', [leading, graph.ints(sizes)], { axis: 0 });
    const perm = sizes.length === 2 ? [0, 2, 1, 3] : [0, 2, 1];
    return graph.op('Transpose', [graph.op('Reshape', [x, size])], { perm });
  };
  const keys = emitCompressed(graph, compressor, compressing, 'indexer');
  const own = splitHeads(emitLinear(graph, query, latent), numHeads, headDim);
  const queries = emitRotatedEnd(graph, rotary, headDim, own, tables);
  const products = graph.op('MatMul', [
    queries,
    graph.op('Transpose', [keys], { perm: [0, 1, 3, 2] }),
  ]);
  const scored = graph.op('Mul', [
    graph.op('Relu', [products]),
    graph.scalar((headDim * numHeads) ** -0.5),
  ]);
  const factors = graph.op('Unsqueeze', [
    splitHeads(emitLinear(graph, weights, rows), numHeads),
    graph.ints([3]),
  ]);
  const scores = graph.op('ReduceSum', [graph.op('Mul', [scored, factors]), graph.ints([1])], {
    keepdims: 0,
  });
  const none = graph.scalar(maskedScore);
  const open = graph.op('Where', [ended, scores, none]);
  const count = emitLength(graph, open, 2);
  const [, chosen = ''] = graph.ops(
    'TopK',
    [open, graph.op('Min', [count, graph.ints([best])])],
    2,
    { axis: -1 },
  );
  const nowhere = graph.op('Expand', [none, graph.op('Shape', [open])]);
  const zeros = graph.op('Expand', [graph.scalar(0), graph.op('Shape', [chosen])]);
  return graph.op('ScatterElements', [nowhere, chosen, zeros], { axis: -1 });
}
