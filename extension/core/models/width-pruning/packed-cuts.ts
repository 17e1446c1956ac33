import { dtypeBits } from '../../checkpoints/lazy-tensor';
import type {
  CodeOrder,
  Grid,
  LazyTensor,
  PackedMatrix,
  PackedWeight,
  SafetensorsDType,
} from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { say } from '../../message';
import { UserError } from '../../user-error';
import type { ComputedTensor } from '../encodings/store-encodings';
import { cutTensor, consecutiveRuns } from './cut-tensor';
import { leastCommonMultiple } from './number-ranges';

/**
 * Smallest unit of rows (axis 0) or columns that can be removed from a packed weight without requantizing, given its
 * words, groups and blocks; undefined if none can.
 */
export function packedUnit(
  { matrix, isTransposed, rows }: PackedWeight,
  axis: number,
): number | undefined {
  return rows === undefined ? matrixUnit(matrix, storedAxis(isTransposed, axis)) : undefined;
}

/**
 * Remaining part of the tensors of a packed weight.
 * @param kept rows (axis 0) or columns of the weight, in multiples of {@link packedUnit}
 */
export function cutPacked(
  { shape }: LazyTensor,
  { matrix, isTransposed, sizes }: PackedWeight,
  axis: number,
  kept: readonly number[],
): ComputedTensor[] {
  const cuts = cutMatrix(matrix, storedAxis(isTransposed, axis), kept);
  const byName = new Map(cuts.map((cut) => [cut.name, cut]));
  const left = shape.with(axis, kept.length);
  return [...byName.values(), ...(sizes === undefined ? [] : [shapeTensor(sizes, left)])];
}

const storedAxis = (isTransposed: boolean, axis: number): 0 | 1 =>
  (axis === 1) === isTransposed ? 0 : 1;

/** Axis along which codes share words or bytes, per code format; undefined if they continue across rows. */
const wordAxis: Readonly<Record<CodeOrder, 0 | 1 | undefined>> = {
  columns: 1,
  rows: 0,
  'even-first': 1,
  'high-first': undefined,
};

function matrixUnit(matrix: PackedMatrix, axis: 0 | 1): number | undefined {
  const { shape, stored = shape[1], minus, times, over } = matrix;
  let unit = ownUnit(matrix, axis);
  // Padding of the last words would change its size.
  if (unit === undefined || shape[axis] % unit !== 0 || (axis === 1 && stored !== shape[1])) {
    return undefined;
  }
  for (const grid of [minus, times, over]) {
    const block = typeof grid === 'object' ? cutBlock(grid, shape, axis) : undefined;
    if (typeof grid === 'object' && block !== undefined) {
      // The last group may be shorter.
      if (!Number.isInteger(block)) {
        return undefined;
      }
      const blocks = matrixUnit(grid.matrix, axis);
      if (blocks === undefined || (grid.groups?.axis === axis && !grid.groups.areRuns)) {
        return undefined;
      }
      unit = leastCommonMultiple(unit, block * blocks);
    }
  }
  return unit;
}

/** Number of values along an axis whose codes share words or bytes. */
function ownUnit({ codes, tensor }: PackedMatrix, axis: 0 | 1): number | undefined {
  if (codes === undefined) {
    return 1;
  }
  const { bits, order } = codes;
  const along = wordAxis[order];
  const word = dtypeBits[tensor.dtype as SafetensorsDType];
  if (along === undefined) {
    return undefined;
  }
  return along === axis ? leastCommonMultiple(word, bits) / bits : 1;
}

/** Rows or columns that share an entry of a grid; undefined if all of them do. */
function cutBlock(
  { matrix, block }: Grid,
  shape: PackedMatrix['shape'],
  axis: 0 | 1,
): number | undefined {
  const count = matrix.shape[axis];
  return block?.[axis] ?? (count === 1 ? undefined : shape[axis] / count);
}

function cutMatrix(matrix: PackedMatrix, axis: 0 | 1, kept: readonly number[]): ComputedTensor[] {
  const { shape, tensor, minus, times, over } = matrix;
  const unit = ownUnit(matrix, axis) ?? 1;
  const grids = [minus, times, over].flatMap((grid) => {
    if (typeof grid !== 'object') {
      return [];
    }
    const block = cutBlock(grid, shape, axis);
    const { groups } = grid;
    return [
      ...(block === undefined ? [] : cutMatrix(grid.matrix, axis, consecutiveRuns(kept, block))),
      ...(groups?.axis === axis
        ? [groupIndices(groups.tensor, block ?? shape[axis], kept.length)]
        : []),
    ];
  });
  return [
    cutTensor({ tensor, axis, runs: shape[axis] / unit, kept: consecutiveRuns(kept, unit) }),
    ...grids,
  ];
}

/** The number of the group of each row or column that stays, which the file has for all of them. */
function groupIndices(tensor: LazyTensor, block: number, count: number): ComputedTensor {
  const { name, dtype, file, shape } = tensor;
  const numbers = (length: number): Buffer =>
    integers(
      dtype,
      Array.from({ length }, (_, place) => Math.floor(place / block)),
    );
  return {
    ...{ name, dtype, shape: [count], length: numbers(count).length },
    bytes: async () => {
      const stored = await readBytes(tensor, tensor.length);
      if (!stored.equals(numbers(shape[0] ?? 0))) {
        throw new UserError(
          'groups-not-contiguous',
          say`Its groups are not runs of ${block} neighbors.`,
          {
            file,
            field: name,
            remedy: say`Prune the width before the model is quantized.`,
          },
        );
      }
      return Promise.resolve(numbers(count));
    },
  };
}

/** Tensor that stores the shape of a weight. */
function shapeTensor({ name, dtype }: LazyTensor, shape: readonly number[]): ComputedTensor {
  const inline = integers(dtype, shape);
  return {
    ...{ name, dtype, shape: [shape.length], length: inline.length, inline },
    bytes: () => Promise.resolve(inline),
  };
}

/** Integers of four or eight bytes each. */
function integers(dtype: string, values: readonly number[]): Buffer {
  return Buffer.from(
    dtype === 'I64' ? BigInt64Array.from(values, BigInt).buffer : Int32Array.from(values).buffer,
  );
}
