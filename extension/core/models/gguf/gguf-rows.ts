import type { LazyTensor } from '../../checkpoints/lazy-tensor';

/** Rows of a folder's tensor that follow one another in a GGUF file. */
export interface Rows {
  /** [rows, columns]. */
  readonly tensor: LazyTensor;
  /** Number of rows in the file. */
  readonly count: number;
  /** Whether the rows are columns of the tensor. */
  readonly turned?: boolean;
  /** The tensor's row for each in the file; the same when absent. */
  readonly order?: (row: number) => number;
  /** The same of columns. */
  readonly columns?: (column: number) => number;
}

/** What a number becomes, by the row of the file that it lies in. */
export type Change = (value: number, row: number) => number;

/** The numbers of a tensor of a GGUF file. */
export interface RowsOfTensor {
  /** As of numpy, the outermost size first. */
  readonly shape: readonly number[];
  readonly rows: readonly Rows[];
  readonly changed?: Change;
}

/** A tensor of any number of sizes as rows; each number of a vector is one. */
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

/** Columns of a tensor as rows. */
export const columnsOf = (tensor: LazyTensor): Rows => ({
  ...{ tensor, turned: true },
  count: tensor.shape[1] ?? 0,
});
