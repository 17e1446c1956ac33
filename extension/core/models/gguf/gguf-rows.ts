import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GgufHeader } from '../../checkpoints/gguf';
import { readBlockCount } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import { say } from '../../message';

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

/** Module of the weights of xIELU below a block. The file has lists of them, one number for each block. */
export const curveInGguf = 'xielu';

/** Weights of xIELU below their module, each with the sizes that folders have. */
export const curveWeights = { alpha_n: [1], alpha_p: [1], beta: [], eps: [] } as const;

/** Header key of the xIELU parameters of a weight. */
export const curveKey = (weight: string): string => `xielu.${weight}`;

const floatType = 6;
const bytesEach = 4;

/**
 * xIELU weights of each block, as tensors by name. Their values are stored in the header.
 * @throws UserError naming a list that lacks blocks.
 */
export function curveTensors(keys: GgufKeys, header: GgufHeader): Map<string, LazyTensor> {
  const blocks = readBlockCount(keys);
  return new Map(
    Object.entries(curveWeights).flatMap(([weight, shape]) => {
      const key = curveKey(weight);
      const list = header.metadata.get(key) ?? keys.missing(key);
      if (typeof list !== 'object' || list.elementType !== floatType || list.length < blocks) {
        return keys.fault(
          key,
          'gguf-curve-invalid',
          say`It should have a float32 number for each block.`,
        );
      }
      return Array.from({ length: blocks }, (_, block): [string, LazyTensor] => {
        const name = `blk.${block}.${curveInGguf}.${weight}`;
        const offset = list.offset + block * bytesEach;
        return [name, { name, dtype: 'F32', shape, file: header.file, offset, length: bytesEach }];
      });
    }),
  );
}
