import { parseGgmlBlock, isDequantized } from '../../checkpoints/ggml-types';
import type {
  LazyTensor,
  CodeOrder,
  Grid,
  PackedMatrix,
  PackedWeight,
  SafetensorsDType,
} from '../../checkpoints/lazy-tensor';
import type { ComputedTensor } from '../encodings/store-encodings';
import { greatestDivisor, leastCommonMultiple } from './number-ranges';
import { dtypeBits, elementCount } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { say } from '../../message';
import { UserError } from '../../user-error';

/** Tensor with an axis of channels or groups. */
export interface WidthTensor {
  readonly tensor: LazyTensor;
  /** The axis of those places; of a packed weight, in the weight itself. */
  readonly axis: number;
  /**
   * Remaining positions along the axis, in order, for the given remaining channels or head groups.
   */
  readonly places: (remaining: readonly number[]) => readonly number[];
}

/** Remaining part of a weight, for all tensors of its encoding. */
export function cutWeight(
  { tensor, axis, places }: WidthTensor,
  remaining: readonly number[],
): ComputedTensor[] {
  const staying = places(remaining);
  if (tensor.packed !== undefined) {
    return cutPacked(tensor, tensor.packed, axis, staying);
  }
  const unit = axisUnit(tensor, axis) ?? 1;
  const runs = (tensor.shape[axis] ?? 0) / unit;
  return [cutTensor({ tensor, axis, runs, remaining: consecutiveRuns(staying, unit) })];
}

/**
 * Smallest number of channels or groups that can be removed together, given the words, groups and blocks of all
 * tensors; undefined if they can't be separated.
 */
export function commonStep(tensors: readonly WidthTensor[]): number | undefined {
  let step = 1;
  for (const { tensor, axis, places } of tensors) {
    const unit = axisUnit(tensor, axis);
    if (unit === undefined) {
      return undefined;
    }
    for (const length of runLengths(places([0]))) {
      step = leastCommonMultiple(step, unit / greatestDivisor(unit, length));
    }
  }
  const first = Array.from({ length: step }, (_, place) => place);
  return tensors.every(({ tensor, axis, places }) =>
    isWhole(places(first), axisUnit(tensor, axis) ?? 1),
  )
    ? step
    : undefined;
}

/** Number of values in a row that are quantized together. */
export function elementsPerBlock({ dtype }: LazyTensor): number {
  return isDequantized(dtype) ? parseGgmlBlock(dtype).elements : 1;
}

/** Smallest unit of neighbors along an axis that can be removed; undefined if none can. */
function axisUnit(tensor: LazyTensor, axis: number): number | undefined {
  if (tensor.packed !== undefined) {
    return packedUnit(tensor.packed, axis);
  }
  // Rows of quantized GGUF tensors are stored in quantization blocks.
  return axis === tensor.shape.length - 1 ? elementsPerBlock(tensor) : 1;
}

/** Lengths of the runs of consecutive indices. */
function runLengths(places: readonly number[]): number[] {
  const starts = [...places.keys()].filter((i) => places[i - 1] !== (places[i] ?? 0) - 1);
  return starts.map((start, i) => (starts[i + 1] ?? places.length) - start);
}

/** True if positions are complete, aligned runs of `unit`. */
function isWhole(places: readonly number[], unit: number): boolean {
  const all = new Set(places);
  return places.every((place) => {
    const start = place - (place % unit);
    return Array.from({ length: unit }, (_, i) => start + i).every((one) => all.has(one));
  });
}

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
 * @param remaining rows (axis 0) or columns of the weight, in multiples of {@link packedUnit}
 */
function cutPacked(
  { shape }: LazyTensor,
  { matrix, isTransposed, sizes }: PackedWeight,
  axis: number,
  remaining: readonly number[],
): ComputedTensor[] {
  const cuts = cutMatrix(matrix, storedAxis(isTransposed, axis), remaining);
  const byName = new Map(cuts.map((cut) => [cut.name, cut]));
  const left = shape.with(axis, remaining.length);
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

function cutMatrix(
  matrix: PackedMatrix,
  axis: 0 | 1,
  remaining: readonly number[],
): ComputedTensor[] {
  const { shape, tensor, minus, times, over } = matrix;
  const unit = ownUnit(matrix, axis) ?? 1;
  const grids = [minus, times, over].flatMap((grid) => {
    if (typeof grid !== 'object') {
      return [];
    }
    const block = cutBlock(grid, shape, axis);
    const { groups } = grid;
    return [
      ...(block === undefined
        ? []
        : cutMatrix(grid.matrix, axis, consecutiveRuns(remaining, block))),
      ...(groups?.axis === axis
        ? [groupIndices(groups.tensor, block ?? shape[axis], remaining.length)]
        : []),
    ];
  });
  return [
    cutTensor({
      tensor,
      axis,
      runs: shape[axis] / unit,
      remaining: consecutiveRuns(remaining, unit),
    }),
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

/** Tensor with only some indices along one axis. */
interface Cut {
  readonly tensor: LazyTensor;
  readonly axis: number;
  /** Number of equally sized runs along the axis. */
  readonly runs: number;
  /** Indices of the remaining runs, ascending. */
  readonly remaining: readonly number[];
}

/** Remaining part of a tensor in its stored data type, read when it is written. */
function cutTensor({ tensor, axis, runs, remaining }: Cut): ComputedTensor {
  const { name, dtype, shape } = tensor;
  const size = ((shape[axis] ?? 0) / runs) * remaining.length;
  const slices = elementCount(shape.slice(0, axis));
  const each = tensor.length / (slices * runs);
  const length = slices * remaining.length * each;
  return {
    ...{ name, dtype, shape: shape.with(axis, size), length },
    bytes: async () => {
      const all = await readBytes(tensor, tensor.length);
      const result = Buffer.alloc(length);
      let at = 0;
      for (let first = 0; first < slices * runs; first += runs) {
        for (const run of remaining) {
          all.copy(result, at, (first + run) * each, (first + run + 1) * each);
          at += each;
        }
      }
      return result;
    },
  };
}

/** Run numbers, if the indices consist of whole runs of `unit` neighbors. */
function consecutiveRuns(places: readonly number[], unit: number): number[] {
  return places.filter((place) => place % unit === 0).map((place) => place / unit);
}
