import { parseGgmlBlock, isDequantized } from '../../checkpoints/ggml-types';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ComputedTensor } from '../encodings/store-encodings';
import { cutTensor, consecutiveRuns } from './cut-tensor';
import { cutPacked, packedUnit } from './packed-cuts';
import { greatestDivisor, leastCommonMultiple } from './number-ranges';

/** Tensor with an axis of channels or groups. */
export interface WidthTensor {
  readonly tensor: LazyTensor;
  /** The axis of those places; of a packed weight, in the weight itself. */
  readonly axis: number;
  /**
   * Remaining positions along the axis, in order, for the given remaining channels or head groups.
   */
  readonly places: (kept: readonly number[]) => readonly number[];
}

/** Remaining part of a weight, for all tensors of its encoding. */
export function cutWeight(
  { tensor, axis, places }: WidthTensor,
  kept: readonly number[],
): ComputedTensor[] {
  const staying = places(kept);
  if (tensor.packed !== undefined) {
    return cutPacked(tensor, tensor.packed, axis, staying);
  }
  const unit = axisUnit(tensor, axis) ?? 1;
  const runs = (tensor.shape[axis] ?? 0) / unit;
  return [cutTensor({ tensor, axis, runs, kept: consecutiveRuns(staying, unit) })];
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
