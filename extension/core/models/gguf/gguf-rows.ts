import type { LazyTensor } from '../../checkpoints/lazy-tensor';

/** Consecutive rows of a GGUF tensor that come from one tensor of a folder. */
export interface Rows {
  /** [rows, columns]. */
  readonly tensor: LazyTensor;
  /** Number of rows in the file. */
  readonly count: number;
  /** True to read columns of `tensor` instead of rows. */
  readonly transposed?: boolean;
  /** Row of `tensor` for each row in the file; the same if absent. */
  readonly order?: (row: number) => number;
  /** Column of `tensor` for each column in the file; the same if absent. */
  readonly columns?: (column: number) => number;
}

/** Function from a value and its row in the file to the value to write. */
export type Change = (value: number, row: number) => number;

/** Contents of a GGUF tensor. */
export interface RowsOfTensor {
  /** In numpy order, outermost dimension first. */
  readonly shape: readonly number[];
  readonly rows: readonly Rows[];
  readonly changed?: Change;
}

/** Reshapes a tensor to [rows, columns]. Each value of a vector becomes a row. */
export function asMatrix(tensor: LazyTensor): LazyTensor {
  const { shape } = tensor;
  const columns = shape.length < 2 ? 1 : (shape.at(-1) ?? 1);
  const rows = shape.reduce((product, size) => product * size, 1) / columns;
  return { ...tensor, shape: [rows, columns] };
}

/** All rows of a tensor, in their order. */
export function allRows(tensor: LazyTensor, shape = tensor.shape): RowsOfTensor {
  const matrix = asMatrix(tensor);
  return { shape, rows: [{ tensor: matrix, count: matrix.shape[0] ?? 0 }] };
}

/** Columns of a tensor as rows of a GGUF tensor. */
export const columnsAsRows = (tensor: LazyTensor): Rows => ({
  ...{ tensor, transposed: true },
  count: tensor.shape[1] ?? 0,
});
