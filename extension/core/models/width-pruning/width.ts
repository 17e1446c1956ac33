import { isDequantized } from '../../checkpoints/ggml-types';
import { dtypeBits } from '../../checkpoints/lazy-tensor';
import type { Linear } from '../parts/linear';
import { commonStep } from './weight-cuts';
import type { WidthTensor } from './weight-cuts';

/** Channels or head groups of a sublayer that can be removed, numbered from 0. */
export interface Width {
  /** Channels of an MLP, or key/value heads of an attention, each with its query heads. */
  readonly of: 'channels' | 'groups';
  readonly count: number;
  /**
   * Number of adjacent channels or groups that are removed together (0 to step − 1, and so on),
   * because weights are quantized in groups or blocks.
   */
  readonly step: number;
  readonly tensors: readonly WidthTensor[];
  /**
   * Linear layer that writes to the residual stream. Channels or groups whose inputs to it are zero
   * contribute nothing.
   */
  readonly output: Linear;
}

export type Places = WidthTensor['places'];

/** Width of a sublayer, where less than all of its channels or groups can go. */
export function prunableWidth(
  of: Width['of'],
  count: number,
  tensors: readonly WidthTensor[],
  output: Linear,
): Width | undefined {
  const step = commonStep(tensors);
  return step !== undefined && step < count ? { of, count, step, tensors, output } : undefined;
}

/** True if each row of a layer is stored separately. */
export function isPlain({ weight, bias, encoding, groups }: Linear): boolean {
  const stored = [weight, ...(bias === undefined ? [] : [bias])];
  return (
    encoding === undefined &&
    groups === undefined &&
    stored.every(
      ({ dtype, packed, sliceOf }) =>
        sliceOf === undefined &&
        (packed !== undefined || dtype in dtypeBits || isDequantized(dtype)),
    )
  );
}

export function linearSizes({ weight, transposed = false }: Linear): {
  readonly out: number;
  readonly in: number;
} {
  const [rows = 0, columns = 0] = weight.shape;
  return transposed ? { out: columns, in: rows } : { out: rows, in: columns };
}

export function outputCuts(
  { weight, bias, transposed = false }: Linear,
  places: Places,
): WidthTensor[] {
  return [
    { tensor: weight, axis: transposed ? 1 : 0, places },
    ...(bias === undefined ? [] : [{ tensor: bias, axis: 0, places }]),
  ];
}

export function inputCuts({ weight, transposed = false }: Linear, places: Places): WidthTensor[] {
  return [{ tensor: weight, axis: transposed ? 0 : 1, places }];
}

/** Channels or head groups that a plan removes from a sublayer. */
export interface PlannedWidthPruning {
  readonly sublayer: string;
  /** Ranges such as `0-3,7` of MLP channels, or of key/value heads with their query heads. */
  readonly remove: string;
}
