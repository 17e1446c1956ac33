import type { ExampleValue } from '../../models/model-input';
import type { InputPort } from '../../models/layered-model';
import { isFloat } from '../../checkpoints/numeric-array';
import type { ImageForm } from '../image/preprocess';

/** Image format of an input; undefined if the input is not an image. */
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

/** True if an input takes audio samples, [batch, samples]. */
export function takesSamples({ name, dtype, shape }: InputPort): boolean {
  return name === 'input_values' && isFloat(dtype) && shape?.length === 2;
}

/** Number of positions along the sequence axis of an input; 1 without such an axis. */
export function positions({ dtype, dims }: ExampleValue): number {
  const hasSequence = isFloat(dtype) ? dims.length === 3 : dims.length >= 2;
  return hasSequence ? (dims[1] ?? 1) : 1;
}
