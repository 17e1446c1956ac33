import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { emitWeight } from '../models/parts/weight';
import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { floatTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import { say } from '../message';
import { UserError } from '../user-error';

/** Float32 vectors of the same length, contiguous. */
export interface Rows {
  readonly count: number;
  readonly length: number;
  readonly numbers: Float32Array;
}

export interface StoredMatrix {
  readonly kind: 'stored';
  readonly tensor: LazyTensor;
  /** True if the file stores [columns, rows]. */
  readonly transposed?: boolean;
}

/** A matrix [rows, columns] in float32, from a file or from memory. */
export type MatrixSource =
  | StoredMatrix
  | { readonly kind: 'numbers'; readonly name: string; readonly rows: Rows };

/** @throws UserError that names the matrix if the sum of its squares isn't finite */
export function requireFinite(matrix: MatrixSource, squares: number): void {
  if (!Number.isFinite(squares)) {
    throw new UserError(
      'matrix-not-finite',
      say`The matrix contains NaN or infinity, so it can't be compressed.`,
      {
        ...(matrix.kind === 'stored' ? { file: matrix.tensor.file } : {}),
        field: matrix.kind === 'stored' ? matrix.tensor.name : matrix.name,
        remedy: say`Download the model again, or leave this layer as it is.`,
      },
    );
  }
}

export function matrixSizes(matrix: MatrixSource): {
  readonly rows: number;
  readonly columns: number;
} {
  if (matrix.kind === 'numbers') {
    return { rows: matrix.rows.count, columns: matrix.rows.length };
  }
  const [first = 1, second = 1] = matrix.tensor.shape;
  return isTransposed(matrix) ? { rows: second, columns: first } : { rows: first, columns: second };
}

export function isTransposed(matrix: MatrixSource): boolean {
  return matrix.kind === 'stored' && matrix.transposed === true;
}

/** Session key; graphs of matrices in memory take the matrix as an input. */
export function matrixKey(matrix: MatrixSource): string {
  return matrix.kind === 'numbers'
    ? 'input'
    : `${isTransposed(matrix) ? 'transposed.' : ''}${matrix.tensor.file}:${matrix.tensor.name}`;
}

/** Size in float32 of a matrix that comes from a file; 0 in memory. */
export function matrixBytes(matrix: MatrixSource): number {
  const { rows, columns } = matrixSizes(matrix);
  return matrix.kind === 'numbers' ? 0 : rows * columns * Float32Array.BYTES_PER_ELEMENT;
}

export function rowsTensor({ count, length, numbers }: Rows): Tensor {
  return floatTensor(numbers, [count, length]);
}

export function emitMatrix(graph: GraphBuilder, matrix: MatrixSource): Value {
  return matrix.kind === 'stored'
    ? emitWeight(graph, matrix.tensor)
    : graph.input('matrix', DataType.FLOAT, ['rows', 'columns']);
}

export function matrixFeed(matrix: MatrixSource): Readonly<Record<string, Tensor>> {
  return matrix.kind === 'stored' ? {} : { matrix: rowsTensor(matrix.rows) };
}
