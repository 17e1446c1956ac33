import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import type { FindAttentionPart } from './attention-part';
import { emitRows } from './weight';

/** Relative position bias of patches in the grid of an image (BEiT, arXiv 2106.08254). */
interface GridBias {
  /** [(2 · height − 1) · (2 · width − 1) + 3, heads]; the last rows: class token to patch, patch to it, it to itself. */
  readonly table: LazyTensor;
  readonly grid: readonly [height: number, width: number];
}

interface GridBiasNames {
  /** Tensor of the table, below each block. */
  readonly table: string;
}

/** Biases by distance in the grid of patches. */
export const gridBias: FindAttentionPart<GridBiasNames> = (
  names,
  { tensors, prefix, grid, shape: { numHeads } },
) => {
  if (grid === undefined) {
    return undefined;
  }
  const table = tensors.take(`${prefix}${names.table}`, [gridBiasRows(grid), numHeads]);
  return {
    tensors: [table],
    dependsOnHeads: true,
    label: say`relative position bias in the image`,
    scores: (graph, scores) => graph.op('Add', [scores, emitGridBias(graph, { table, grid })]),
  };
};

/** Number of rows of its table. */
const gridBiasRows = ([height, width]: GridBias['grid']): number =>
  (2 * height - 1) * (2 * width - 1) + 3;

/** Emits the bias [1, heads, tokens, tokens] of the class token followed by the patches, row by row. */
function emitGridBias(graph: GraphBuilder, { table, grid }: GridBias): Value {
  const [height, width] = grid;
  const count = height * width;
  const rows = gridBiasRows(grid);
  const numbers = Array.from({ length: count }, (_, patch) => patch);
  // Row r and column c as one number, so that differences of numbers name distances.
  const places = numbers.map((patch) => {
    const column = patch % width;
    return ((patch - column) / width) * (2 * width - 1) + column;
  });
  const column = graph.ints(places, [count, 1]);
  const row = graph.ints(
    places.map((place) => place - (height - 1) * (2 * width - 1) - (width - 1)),
    [1, count],
  );
  const toClass = graph.ints(Array<number>(count).fill(rows - 2), [count, 1]);
  const fromClass = [rows - 1, ...Array<number>(count).fill(rows - 3)];
  const patches = graph.op('Concat', [toClass, graph.op('Sub', [column, row])], { axis: 1 });
  const all = graph.op('Concat', [graph.ints(fromClass, [1, count + 1]), patches], { axis: 0 });
  const byHead = graph.op('Transpose', [emitRows(graph, table, all)], { perm: [2, 0, 1] });
  return graph.op('Unsqueeze', [byHead, graph.ints([0])]);
}
