import { elementCount, floatDTypes } from '../../checkpoints/lazy-tensor';
import type { CodeValues, Grid, LazyTensor, PackedMatrix } from '../../checkpoints/lazy-tensor';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { Message } from '../../message';

/** Tensors of one linear layer by the end of their names. */
export type Parts = ReadonlyMap<string, LazyTensor>;

/**
 * Matrix [out, in] without its name and location, listed only if it isn't packed; undefined if the layer isn't
 * quantized.
 */
export type Matrix =
  | {
      readonly numbers: LazyTensor;
      readonly shape: readonly number[];
      readonly packed?: PackedMatrix;
      /** True if the packed weight is [in, out]. */
      readonly isTransposed?: boolean;
      /** Tensor that stores the shape. */
      readonly sizes?: LazyTensor | undefined;
    }
  | undefined;

/** Dtypes of scales, and of the groups of inputs. */
export const groupDTypes: readonly string[] = ['I32', 'I64'];

/** @throws UserError if the layer lacks the part. */
export function take(parts: Parts, part: string): LazyTensor {
  const found = parts.get(part);
  if (found === undefined) {
    const { file = '', name = part } = [...parts.values()][0] ?? {};
    throw fault({ file, name }, 'packed-part-missing', say`The layer has no ${part}.`);
  }
  return found;
}

/** @throws UserError if it is not a matrix. */
export function matrixShape({ shape, ...tensor }: LazyTensor): readonly [number, number] {
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2 || rows * columns === 0) {
    throw fault(tensor, 'packed-not-matrix', say`Its shape [${shape.join(', ')}] is not a matrix.`);
  }
  return [rows, columns];
}

/** @throws UserError if the tensor has another dtype or shape */
export function expect(
  tensor: LazyTensor,
  dtypes: readonly string[],
  shape: readonly number[],
): void {
  if (!dtypes.includes(tensor.dtype) || tensor.shape.join() !== shape.join()) {
    throw fault(
      tensor,
      'tensor-mismatch',
      say`It is ${tensor.dtype} [${tensor.shape.join(', ')}], expected ${dtypes.join(' or ')} [${shape.join(', ')}].`,
    );
  }
}

/** Floats that are a number, a column or a matrix, as a matrix. */
export function floats(tensor: LazyTensor): PackedMatrix {
  expect(tensor, floatDTypes, tensor.shape);
  return { tensor, shape: gridShape(tensor) };
}

/** A number is a grid of one block, a list one of a block for each row. */
export function gridShape({ shape, ...tensor }: LazyTensor): readonly [number, number] {
  const [rows = 1, columns = 1] = shape;
  if (shape.length > 2 || elementCount(shape) === 0) {
    throw fault(tensor, 'packed-not-matrix', say`Its shape [${shape.join(', ')}] is not a matrix.`);
  }
  return [rows, columns];
}

/** Number of values per byte for each data type. */
const byteValues: Readonly<Record<string, CodeValues>> = {
  F8_E4M3: 'E4M3',
  F8_E5M2: 'E5M2',
  I8: 'signed',
};

/** Numbers of a byte each that are a number, a column or a matrix, as a matrix. */
export function byteMatrix(tensor: LazyTensor): PackedMatrix {
  const values = byteValues[tensor.dtype];
  if (values === undefined) {
    throw fault(
      tensor,
      'value-unexpected',
      say`It is ${tensor.dtype}, expected ${Object.keys(byteValues).join(' or ')}.`,
    );
  }
  return { tensor, shape: gridShape(tensor), codes: { bits: 8, order: 'columns', values } };
}

/** A matrix of one byte a number. */
export function bytesTimes(
  numbers: LazyTensor,
  scales: Pick<PackedMatrix, 'minus' | 'times' | 'over'>,
): Matrix {
  if (byteValues[numbers.dtype] === undefined) {
    return { numbers, shape: numbers.shape };
  }
  const shape = matrixShape(numbers);
  return { numbers, shape, packed: { ...byteMatrix(numbers), ...scales } };
}

/**
 * Checks that a packed matrix has one code per value, and that its grids cover it.
 * @param copies number of such matrices in each tensor
 * @throws UserError naming the tensor that doesn't fit
 */
export function requireFit(matrix: PackedMatrix, copies: number): void {
  const { shape, tensor, codes, minus, times, over } = matrix;
  const [rows, columns] = shape;
  const { bits = 1, order, values } = codes ?? {};
  const storedRows = order === 'rows' ? ((tensor.shape[0] ?? 0) * 32) / bits : rows;
  const expected = copies * storedRows * (matrix.stored ?? columns);
  const found = codes === undefined ? elementCount(tensor.shape) : (tensor.length * 8) / bits;
  if (found !== expected || !Number.isInteger(storedRows) || storedRows < rows) {
    throw fault(
      tensor,
      'packed-count-mismatch',
      say`It has ${found} numbers, expected ${expected}.`,
    );
  }
  if (typeof values === 'object') {
    expect(values, floatDTypes, [2 ** bits]);
  }
  for (const grid of [minus, times, over]) {
    if (typeof grid === 'object') {
      requireFit(grid.matrix, copies);
      requireCover(grid, shape);
    }
  }
}

function requireCover({ matrix, block, groups }: Grid, shape: PackedMatrix['shape']): void {
  const { tensor, shape: counts } = matrix;
  if (groups !== undefined) {
    expect(groups.tensor, groupDTypes, [shape[groups.axis]]);
  }
  const fits = ([0, 1] as const).every((axis) => {
    const [size, count] = [shape[axis], counts[axis]];
    if (groups !== undefined) {
      return axis === groups.axis || count === size;
    }
    return block === undefined ? size % count === 0 : Math.ceil(size / block[axis]) === count;
  });
  // Blocks of both rows and columns need their sizes told: the last ones may be cut off.
  const isTold =
    block !== undefined ||
    ([0, 1] as const).some((axis) => [1, shape[axis]].includes(counts[axis]));
  if (!fits || !isTold) {
    throw fault(
      tensor,
      'packed-blocks-uneven',
      say`Its shape [${tensor.shape.join(', ')}] doesn't divide a matrix of shape [${shape.join(', ')}] into equal blocks.`,
    );
  }
}

export function fault(
  { file, name }: Pick<LazyTensor, 'file' | 'name'>,
  code: ErrorCode,
  problem: Message,
): UserError {
  return new UserError(code, problem, {
    file,
    field: name,
    remedy: say`The weights don't match quantization_config: download the model again.`,
  });
}
