import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { MixerInput } from './mixer-kind';
import { emitCarriedScan, emitAsRows, emitSequence } from './pieces';

/** Sizes of the recurrent state, one matrix [keys, values] per head; heads of a group share keys. */
export interface ChunkedSize {
  readonly groups: number;
  readonly perGroup: number;
  readonly keys: number;
  readonly values: number;
}

/** Inputs of the state update, as rows [batch · sequence, …]. */
export interface ChunkedRecurrence {
  /** ln a of each head's factor on its state. */
  readonly logDecay: Value;
  /** [groups · keys] */
  readonly key: Value;
  readonly query: Value;
  /** [heads · values] */
  readonly value: Value;
  /** Update rate β of the delta rule for each head (arXiv 2412.06464). */
  readonly rate?: Value;
}

/** Number of positions per chunk. */
const length = 32;

const square = (holds: (row: number, column: number) => boolean): number[] =>
  Array.from({ length: length * length }, (_, i) =>
    Number(holds(Math.floor(i / length), i % length)),
  );

/** A recurrence in pieces: [batch, chunks, groups, perGroup, length, …], or with 1 for perGroup. */
interface Chunks {
  readonly query: Value;
  readonly key: Value;
  readonly keyColumns: Value;
  readonly value: Value;
  /** [length, length]: factor from one position to a later one, 0 to earlier ones. */
  readonly decay: Value;
  /** From the chunk's start to each position, and from each to its end: [length, 1]. */
  readonly fromStart: Value;
  readonly toEnd: Value;
  /** Decay over the whole chunk: [1, 1]. */
  readonly whole: Value;
}

/**
 * Emits y = q·S at each position as rows [batch · sequence, heads · values], with S = a·S + kᵀ·v, or by the delta
 * rule S = S' + rate · kᵀ·(v − k·S') of S' = a·S. Within a chunk that is matrix products (Mamba-2, arXiv
 * 2405.21060, § 6; DeltaNet, arXiv 2406.06484, § 3), between chunks a scan.
 */
export function emitChunkedRecurrence(
  input: MixerInput,
  size: ChunkedSize,
  { logDecay, key, query, value, rate }: ChunkedRecurrence,
): Value {
  const { graph, leading } = input;
  return graph.step('recurrence', () => {
    const { groups, perGroup, keys, values } = size;
    const sequence = graph.op('Slice', [leading, graph.ints([1]), graph.ints([2])]);
    const missing = graph.op('Mod', [graph.op('Neg', [sequence]), graph.ints([length])]);
    const pads = graph.op('Concat', [graph.ints([0, 0, 0, 0]), missing, graph.ints([0])], {
      axis: 0,
    });
    const split = (x: Value, each: number, width: number): Value => {
      const padded = graph.op('Pad', [emitSequence(input, x, groups * each * width), pads]);
      const shape = graph.ints([0, -1, length, groups, each, width]);
      return graph.op('Transpose', [graph.op('Reshape', [padded, shape])], {
        perm: [0, 1, 3, 4, 2, 5],
      });
    };
    const keyRows = split(key, 1, keys);
    const chunks: Chunks = {
      query: split(query, 1, keys),
      key: keyRows,
      keyColumns: transposed(graph, keyRows),
      value: split(value, perGroup, values),
      ...emitDecays(graph, split(logDecay, perGroup, 1)),
    };
    const given =
      rate === undefined
        ? emitSums(input, size, chunks)
        : emitReplacements(input, size, chunks, split(rate, perGroup, 1));
    const ordered = graph.op('Transpose', [given], { perm: [0, 1, 4, 2, 3, 5] });
    const width = groups * perGroup * values;
    const padded = graph.op('Reshape', [ordered, graph.ints([0, -1, width])]);
    const first = graph.op('Slice', [padded, graph.ints([0]), sequence, graph.ints([1])]);
    return emitAsRows(input, first, width);
  });
}

const transposed = (graph: GraphBuilder, x: Value): Value =>
  graph.op('Transpose', [x], { perm: [0, 1, 2, 3, 5, 4] });

/** Sums of logarithms from one position to another, not differences of sums, which would lose digits. */
function emitDecays(
  graph: GraphBuilder,
  logDecay: Value,
): Pick<Chunks, 'decay' | 'fromStart' | 'toEnd' | 'whole'> {
  const constant = (values: readonly number[]): Value => graph.floats(values, [length, length]);
  const upTo = constant(square((row, column) => column <= row));
  const behind = constant(square((row, column) => row > column));
  const between = graph.op('MatMul', [
    graph.op('Mul', [upTo, transposed(graph, logDecay)]),
    behind,
  ]);
  const decay = graph.op('Mul', [graph.op('Exp', [between]), upTo]);
  const last = graph.op('Slice', [
    decay,
    graph.ints([length - 1]),
    graph.ints([length]),
    graph.ints([4]),
  ]);
  return {
    decay,
    fromStart: graph.op('Exp', [graph.op('MatMul', [upTo, logDecay])]),
    toEnd: transposed(graph, last),
    whole: graph.op('Exp', [graph.reduce('ReduceSum', logDecay, [4], 1)]),
  };
}

/** Sizes of the state, and of one item of the result. */
function scanned({ groups, perGroup, keys, values }: ChunkedSize): [number[], (number | string)[]] {
  return [
    [groups, perGroup, keys, values],
    ['batch', groups, perGroup, length, values],
  ];
}

function emitSums(input: MixerInput, size: ChunkedSize, chunks: Chunks): Value {
  const { graph } = input;
  const [state, item] = scanned(size);
  const { query, keyColumns, value, decay, fromStart, toEnd, whole } = chunks;
  const scores = graph.op('Mul', [graph.op('MatMul', [query, keyColumns]), decay]);
  const within = graph.op('MatMul', [scores, value]);
  const added = graph.op('MatMul', [keyColumns, graph.op('Mul', [value, toEnd])]);
  const items = [query, added, whole];
  const before = emitCarriedScan(input, state, items, item, (body, known, at) => {
    const [q = '', more = '', kept = ''] = at;
    return {
      next: body.op('Add', [body.op('Mul', [known, kept]), more]),
      result: body.op('MatMul', [q, known]),
    };
  });
  return graph.op('Add', [within, graph.op('Mul', [before, fromStart])]);
}

function emitReplacements(
  input: MixerInput,
  size: ChunkedSize,
  chunks: Chunks,
  rate: Value,
): Value {
  const { graph } = input;
  const [state, item] = scanned(size);
  const { query, key, keyColumns, value, decay, fromStart, toEnd, whole } = chunks;
  const scores = graph.op('Mul', [graph.op('MatMul', [query, keyColumns]), decay]);
  const overlaps = graph.op('Mul', [graph.op('MatMul', [key, keyColumns]), decay]);
  const solved = emitInverse(graph, graph.op('Mul', [overlaps, rate]));
  const values = graph.op('MatMul', [solved, graph.op('Mul', [value, rate])]);
  const share = graph.op('Mul', [rate, fromStart]);
  const reads = graph.op('MatMul', [solved, graph.op('Mul', [key, share])]);
  const items = [query, keyColumns, scores, values, reads, fromStart, toEnd, whole];
  return emitCarriedScan(input, state, items, item, (body, known, at) => {
    const [q = '', columns = '', near = '', v = '', read = '', start = '', end = '', all = ''] = at;
    const fresh = body.op('Sub', [v, body.op('MatMul', [read, known])]);
    const far = body.op('Mul', [body.op('MatMul', [q, known]), start]);
    const more = body.op('MatMul', [columns, body.op('Mul', [fresh, end])]);
    return {
      next: body.op('Add', [body.op('Mul', [known, all]), more]),
      result: body.op('Add', [far, body.op('MatMul', [near, fresh])]),
    };
  });
}

/** (I + L)⁻¹ of the part L below the diagonal: blocks of 2, 4, 8, … rows, each from two of half the size. */
function emitInverse(graph: GraphBuilder, below: Value): Value {
  const sizes = Array.from({ length: Math.log2(length) }, (_, i) => 2 ** i);
  const identity = graph.floats(
    square((row, column) => row === column),
    [length, length],
  );
  return sizes.reduce((inverse, half) => {
    const corner = square(
      (row, column) =>
        Math.floor(row / half) === Math.floor(column / half) + 1 &&
        Math.floor(row / half) % 2 === 1,
    );
    const part = graph.op('Mul', [below, graph.floats(corner, [length, length])]);
    const product =
      half === 1 ? part : graph.op('MatMul', [graph.op('MatMul', [inverse, part]), inverse]);
    return graph.op('Sub', [inverse, product]);
  }, identity);
}

/** Sizes of the state that each head carries along: a matrix [keys, values]. */
interface StateSize {
  readonly heads: number;
  readonly keys: number;
  readonly values: number;
}

/** Inputs of the state update at each position, all with leading axes [batch, sequence, heads]. */
interface Recurrence {
  /** Decay factor of the state, or the input of `decayOf`; broadcast against [keys, values]. */
  readonly decay: Value;
  readonly decayOf?: (graph: GraphBuilder, decay: Value) => Value;
  /** [1, keys] */
  readonly key: Value;
  readonly query: Value;
  /** [1, values] */
  readonly value: Value;
  /** [1, 1]: share of the retrieved value that is replaced (delta rule, arXiv 2412.06464). */
  readonly rate?: Value;
}

/**
 * Emits y = q·S at each position, [batch, sequence, heads, 1, values], with S = a·S + kᵀ·v, or by the delta
 * rule S = S' + rate · kᵀ·(v − k·S') of S' = a·S.
 */
export function emitRecurrence(
  input: MixerInput,
  { heads, keys, values }: StateSize,
  { decay, decayOf, key, query, value, rate }: Recurrence,
): Value {
  const items = [decay, key, query, value, ...(rate === undefined ? [] : [rate])];
  const sizes = [heads, keys, values];
  const item = ['batch', heads, 1, values];
  return emitCarriedScan(input, sizes, items, item, (body, before, at) => {
    const [a = '', k = '', q = '', v = '', share] = at;
    const decayed = body.op('Mul', [before, decayOf?.(body, a) ?? a]);
    const added =
      share === undefined
        ? v
        : body.op('Mul', [body.op('Sub', [v, body.op('MatMul', [k, decayed])]), share]);
    const column = body.op('Transpose', [k], { perm: [0, 1, 3, 2] });
    const next = body.op('Add', [decayed, body.op('Mul', [column, added])]);
    return { next, result: body.op('MatMul', [q, next]) };
  });
}
