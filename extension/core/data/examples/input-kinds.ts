import { emptyCache, usualValues } from '../../models/example';
import type { ExampleValue } from '../../models/example';
import type { InputPort } from '../../models/layered-model';
import { fillArray, isArrayDType, isFloat } from '../numeric-array';
import type { ImageForm } from '../image/preprocess';

/** Inputs of one number that switch something on, with what switches it off. */
const switches = /^(?:use_cache_branch|(?:num_)?logits_to_keep)$/;

/** Whether the values of an input follow from those of the others. */
export function follows(port: InputPort): boolean {
  return filled(port, 1, 1) !== undefined;
}

/**
 * The values of an input that follow from the size of the others: everything is attended, positions
 * are counted, there is no earlier text.
 */
export function filled(port: InputPort, batch: number, length: number): ExampleValue | undefined {
  const values = usualValues(port, length);
  const rank = port.shape?.length ?? 2;
  if (values !== undefined && (rank === 1 || rank === 2)) {
    const rows = rank === 1 ? 1 : batch;
    const dims = rank === 1 ? [length] : [rows, length];
    return numbers(port.dtype, dims, Array.from({ length: rows }, () => values).flat());
  }
  if (switches.test(port.name) && port.shape?.every((size) => size === 1) === true) {
    return numbers(port.dtype, [...port.shape] as number[], [0]);
  }
  return values === undefined ? emptyCache(port) : undefined;
}

function numbers(
  dtype: string,
  dims: readonly number[],
  values: readonly number[],
): ExampleValue | undefined {
  return isArrayDType(dtype)
    ? { dtype, dims, data: fillArray(dtype, values.length, (i) => values[i] ?? 0) }
    : undefined;
}

/** The images that an input takes, if it takes images. */
export function imageForm({ dtype, shape }: InputPort): ImageForm | undefined {
  if (!isFloat(dtype) || shape?.length !== 4) {
    return undefined;
  }
  const [, second, third, fourth] = shape;
  const isColor = (size: number | string | undefined): size is 1 | 3 => size === 1 || size === 3;
  const fixed = (size: number | string | undefined): number | undefined =>
    typeof size === 'number' ? size : undefined;
  if (isColor(second) || (typeof second === 'string' && !isColor(fourth))) {
    const channels = isColor(second) ? second : 3;
    return { layout: 'NCHW', channels, height: fixed(third), width: fixed(fourth) };
  }
  return isColor(fourth)
    ? { layout: 'NHWC', channels: fourth, height: fixed(second), width: fixed(third) }
    : undefined;
}

/** How many positions an example has along the sequence axis of an input; 1 without such an axis. */
export function positions({ dtype, dims }: ExampleValue): number {
  const hasSequence = isFloat(dtype) ? dims.length === 3 : dims.length >= 2;
  return hasSequence ? (dims[1] ?? 1) : 1;
}
