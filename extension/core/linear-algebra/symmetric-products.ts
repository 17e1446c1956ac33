import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { SquareMatrix } from './small-matrix';

/** Column blocks of a symmetric matmul; of n² blocks, n·(n + 1) / 2 are computed. */
const symmetricParts = 4;
/** Columns from which splitting pays off. */
const leastDivided = 256;

/** Boundaries of the column blocks, including both ends. */
function blockBounds(length: number): number[] {
  const parts = length < leastDivided ? 1 : symmetricParts;
  return Array.from({ length: parts + 1 }, (_, i) => Math.floor((i * length) / parts));
}

function sliceColumns(graph: GraphBuilder, matrix: Value, bounds: readonly number[]): Value[] {
  const axis = graph.ints([1]);
  return bounds
    .slice(1)
    .map((end, i) =>
      graph.op('Slice', [matrix, graph.ints([bounds[i] ?? 0]), graph.ints([end]), axis]),
    );
}

/** Σ xᵀ·x over all rows x [count, length] in float64; only one triangle is computed. */
export function emitCrossProducts(graph: GraphBuilder, rows: Value, length: number): Value {
  const columns = sliceColumns(
    graph,
    graph.op('Cast', [rows], { to: DataType.DOUBLE }),
    blockBounds(length),
  );
  const known = new Map<string, Value>();
  const lines = columns.map((left, row) => {
    const line = columns.map((right, column) => {
      const transposed = known.get(`${column} ${row}`);
      const sums =
        transposed === undefined
          ? graph.op('Gemm', [left, right], { transA: 1 })
          : graph.op('Transpose', [transposed], { perm: [1, 0] });
      known.set(`${row} ${column}`, sums);
      return sums;
    });
    return graph.op('Concat', line, { axis: 1 });
  });
  return graph.op('Concat', lines, { axis: 0 });
}

/** y·G·yᵀ for each row y [count, length] with a symmetric G [length, length]: [count]. */
export function emitQuadraticForms(
  graph: GraphBuilder,
  rows: Value,
  weights: Value,
  length: number,
): Value {
  const bounds = blockBounds(length);
  const parts = sliceColumns(graph, rows, bounds);
  const axes = graph.ints([0, 1]);
  const squares = parts.map((own, i) => {
    const [start, end] = [bounds[i] ?? 0, bounds[i + 1] ?? length];
    const weighed = (from: number, to: number): Value => {
      const part = graph.op('Slice', [rows, graph.ints([from]), graph.ints([to]), graph.ints([1])]);
      const factors = graph.op('Slice', [
        weights,
        graph.ints([from, start]),
        graph.ints([to, end]),
        axes,
      ]);
      return graph.op('MatMul', [part, factors]);
    };
    const inside = weighed(start, end);
    const twice = (before: Value): Value => graph.op('Add', [before, before]);
    const all = start === 0 ? inside : graph.op('Add', [twice(weighed(0, start)), inside]);
    return graph.op('ReduceSum', [graph.op('Mul', [all, own]), graph.ints([1])], { keepdims: 0 });
  });
  return squares.reduce((sum, part) => graph.op('Add', [sum, part]));
}

/**
 * Gram matrix G as s·W·s with ones on the diagonal of W. Some inputs are several orders of magnitude larger than
 * others, and float32 matmuls with G would lose the small ones.
 */
export interface ScaledGram {
  readonly scales: Float32Array;
  /** [size, size] */
  readonly weights: Float32Array;
}

export function scaleGram({ size, numbers }: SquareMatrix): ScaledGram {
  const scales = Float32Array.from({ length: size }, (_, i) =>
    Math.sqrt(numbers[i * (size + 1)] ?? 0),
  );
  const inverses = Float64Array.from(scales, (x) => (x === 0 ? 0 : 1 / x));
  const weights = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let i = 0, at = row * size; i < size; i++, at++) {
      weights[at] = (numbers[at] ?? 0) * (inverses[row] ?? 0) * (inverses[i] ?? 0);
    }
  }
  return { scales, weights };
}
