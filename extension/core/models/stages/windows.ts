import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitWeight } from '../parts/weight';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Piece } from './piece';
import { say } from '../../message';

/** Windows of an image, optionally shifted (Swin, arXiv 2103.14030). */
export interface Windows {
  readonly height: number;
  readonly width: number;
  /** Height and width of a window in pixels of the stream. */
  readonly size: number;
  /** Shift of the windows in pixels, 0 for none. */
  readonly shift: number;
  readonly channels: number;
}

const padded = (size: number, window: number): number => Math.ceil(size / window) * window;

/** Applies `inside` to [batch · windows, positions, channels], the windows of a stream [batch, height, width, channels]. */
export function windowed(windows: Windows, inside: Piece): Piece {
  const { height, width, size, shift, channels } = windows;
  const [tall, wide] = [padded(height, size), padded(width, size)];
  const grid = [tall / size, wide / size] as const;
  return {
    ...inside,
    label: shift === 0 ? say`Windows` : say`Windows moved by ${shift}`,
    emit: (graph, x) => {
      const whole =
        tall === height && wide === width
          ? x
          : graph.op('Pad', [x, graph.ints([0, 0, 0, 0, 0, tall - height, wide - width, 0])]);
      const moved = rolled(graph, whole, shift);
      const swap = (value: Value, shape: readonly number[]): Value =>
        graph.op('Transpose', [graph.op('Reshape', [value, graph.ints(shape)])], {
          perm: [0, 1, 3, 2, 4, 5],
        });
      const split = swap(moved, [-1, grid[0], size, grid[1], size, channels]);
      const each = graph.op('Reshape', [split, graph.ints([-1, size * size, channels])]);
      const out = inside.emit(graph, each);
      const joined = swap(out, [-1, grid[0], grid[1], size, size, channels]);
      const image = graph.op('Reshape', [joined, graph.ints([-1, tall, wide, channels])]);
      const back = rolled(graph, image, shift === 0 ? 0 : -shift);
      return tall === height && wide === width
        ? back
        : graph.op('Slice', [
            back,
            graph.ints([0, 0]),
            graph.ints([height, width]),
            graph.ints([1, 2]),
          ]);
    },
  };
}

/** Rolls rows and columns by −`shift`, as torch.roll does. */
function rolled(graph: GraphBuilder, x: Value, shift: number): Value {
  if (shift === 0) {
    return x;
  }
  const end = graph.ints([Number.MAX_SAFE_INTEGER]);
  return [1, 2].reduce((value, axis) => {
    const at = graph.ints([axis]);
    const front = graph.op('Slice', [value, graph.ints([0]), graph.ints([shift]), at]);
    const rest = graph.op('Slice', [value, graph.ints([shift]), end, at]);
    return graph.op('Concat', [rest, front], { axis });
  }, x);
}

/** Adds `factor` · −100 to scores [batch · windows, heads, positions, positions] of pixels that aren't neighbors in the image. */
export function emitMasked(
  graph: GraphBuilder,
  { height, width, size, shift }: Windows,
  heads: number,
  factor: number,
  scores: Value,
): Value {
  if (shift === 0) {
    return scores;
  }
  const [tall, wide] = [padded(height, size), padded(width, size)];
  const region = (i: number, length: number): number =>
    Number(i >= length - size) + Number(i >= length - shift);
  const count = (tall / size) * (wide / size);
  const regions = Array.from({ length: count * size * size }, (_, i) => {
    const window = Math.floor(i / (size * size));
    const inside = i % (size * size);
    const row = Math.floor(window / (wide / size)) * size + Math.floor(inside / size);
    const column = (window % (wide / size)) * size + (inside % size);
    return 3 * region(row, tall) + region(column, wide);
  });
  const positions = size * size;
  const [rows, columns] = [
    graph.floats(regions, [count, 1, positions, 1]),
    graph.floats(regions, [count, 1, 1, positions]),
  ];
  const differs = graph.op('Min', [
    graph.op('Abs', [graph.op('Sub', [rows, columns])]),
    graph.scalar(1),
  ]);
  const mask = graph.op('Mul', [differs, graph.scalar(-100 * factor)]);
  const shape = [-1, count, heads, positions, positions];
  const byWindow = graph.op('Reshape', [scores, graph.ints(shape)]);
  const masked = graph.op('Add', [byWindow, mask]);
  return graph.op('Reshape', [masked, graph.ints([-1, heads, positions, positions])]);
}

/** Emits the relative position bias of a window [heads, positions, positions] from a table [distances, heads]. */
export function emitWindowBias(graph: GraphBuilder, table: Value, size: number): Value {
  const edge = 2 * size - 1;
  const index = Array.from({ length: size ** 4 }, (_, i) => {
    const [from, to] = [Math.floor(i / size ** 2), i % size ** 2];
    const rows = Math.floor(from / size) - Math.floor(to / size) + size - 1;
    return rows * edge + (from % size) - (to % size) + size - 1;
  });
  const gathered = graph.op('Gather', [table, graph.ints(index)]);
  const shaped = graph.op('Reshape', [gathered, graph.ints([size ** 2, size ** 2, -1])]);
  return graph.op('Transpose', [shaped], { perm: [2, 0, 1] });
}

/** Patch merging of Swin: concatenates the channels of 2 × 2 pixels to [batch, height / 2, width / 2, 4 · channels]. */
export function mergedPixels(height: number, width: number): Piece {
  return {
    label: say`Merge 2 × 2 pixels`,
    tensors: [],
    emit: (graph, x) => {
      const even =
        height % 2 === 0 && width % 2 === 0
          ? x
          : graph.op('Pad', [x, graph.ints([0, 0, 0, 0, 0, height % 2, width % 2, 0])]);
      const parts = [
        [0, 0],
        [1, 0],
        [0, 1],
        [1, 1],
      ].map((starts) =>
        graph.op('Slice', [
          even,
          graph.ints(starts),
          graph.ints([Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]),
          graph.ints([1, 2]),
          graph.ints([2, 2]),
        ]),
      );
      return graph.op('Concat', parts, { axis: -1 });
    },
  };
}

/** Emits the relative position bias of a window from a stored table [distances, heads]. */
export const emitTable = (graph: GraphBuilder, table: LazyTensor, size: number): Value =>
  emitWindowBias(graph, emitWeight(graph, table), size);
