import { UserError } from '../../user-error';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { centerCrop, toGray, toRgb } from './pixels';
import type { Pixels } from './pixels';
import { readImageSteps } from './preprocessor-config';
import type { ImageSteps, StepsOfModel, TargetSize } from './preprocessor-config';
import { resize } from './resize';
import type { Message } from '../../message';
import { say } from '../../message';

/** Image format of an input. */
export interface ImageForm {
  readonly layout: 'NCHW' | 'NHWC';
  readonly channels: 1 | 3;
  /** Size in pixels, if fixed by the model. */
  readonly height: number | undefined;
  readonly width: number | undefined;
}

/** Edge below which ConvNext center-crops instead of stretching. */
const convNextCropsBelow = 384;
/** Default edge for models with dynamic image size and no configuration. */
const defaultEdge = 224;
/** Mean and standard deviation of ImageNet's channels. */
const imageNet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/**
 * Loads image preprocessing from preprocessor_config.json. Without it, images are stretched to the model's size and
 * normalized with ImageNet statistics, with a warning.
 * @throws UserError naming the file and the field.
 */
export async function loadImagePreprocessor(
  folder: string,
  form: ImageForm,
): Promise<{ preprocess: (image: Pixels) => NumericArray; warnings: readonly Message[] }> {
  const { steps, file, warnings } = (await readImageSteps(folder)) ?? guessSteps(form);
  const tables = valueTables(steps, form.channels, file);
  return {
    preprocess: (image) => toArray(shape(image, steps, form.channels), tables, form.layout, steps),
    warnings,
  };
}

function guessSteps({ height, width, channels }: ImageForm): StepsOfModel {
  const size = { height: height ?? width ?? defaultEdge, width: width ?? height ?? defaultEdge };
  const values =
    channels === 3
      ? "values normalized by ImageNet's mean and deviation"
      : 'gray values between 0 and 1';
  return {
    steps: {
      background: 'ignore',
      resize: { size, resample: 'bilinear' },
      rescale: 1 / 255,
      ...(channels === 3 ? { normalize: imageNet } : {}),
      reversesChannels: false,
    },
    warnings: [
      say`The model has no preprocessor_config.json: images were stretched to ${size.width}×${size.height} pixels, with ${values}. If the model was trained with other steps, its results mean little.`,
    ],
  };
}

/** Applies the steps that work on 8-bit samples. */
function shape(image: Pixels, steps: ImageSteps, channels: 1 | 3): Pixels {
  const rgb = toRgb(image, steps.background);
  let pixels = channels === 1 ? toGray(rgb) : rgb;
  if (steps.resize !== undefined) {
    pixels = resizeTo(pixels, steps.resize);
  }
  return steps.crop === undefined
    ? pixels
    : centerCrop(pixels, steps.crop.height, steps.crop.width);
}

function resizeTo(image: Pixels, { size, resample }: NonNullable<ImageSteps['resize']>): Pixels {
  if ('height' in size) {
    return resize(image, size.height, size.width, resample);
  }
  const { shortestEdge, cropFraction } = size;
  if (cropFraction === undefined) {
    const { height, width } = withShortestEdge(image, shortestEdge);
    return resize(image, height, width, resample);
  }
  if (shortestEdge >= convNextCropsBelow) {
    return resize(image, shortestEdge, shortestEdge, resample);
  }
  const { height, width } = withShortestEdge(image, Math.trunc(shortestEdge / cropFraction));
  return centerCrop(resize(image, height, width, resample), shortestEdge, shortestEdge);
}

/** Size with the same aspect ratio whose shorter edge is `edge`. */
function withShortestEdge(
  { height, width }: Pixels,
  edge: number,
): Extract<TargetSize, { height: number }> {
  const [short, long] = width <= height ? [width, height] : [height, width];
  const other = Math.trunc((edge * long) / short);
  return width <= height ? { height: other, width: edge } : { height: edge, width: other };
}

/** Lookup table from 8-bit samples to values per channel, in float32 as in numpy. */
function valueTables(
  { rescale, normalize }: ImageSteps,
  channels: number,
  file: string | undefined,
): Float32Array[] {
  const channelValue = (values: readonly number[], channel: number, field: string): number => {
    if (values.length !== 1 && values.length !== channels) {
      throw new UserError(
        'channel-count-mismatch',
        say`It has ${values.length} values, but the model has ${channels} channels.`,
        {
          ...(file === undefined ? {} : { file }),
          field,
          remedy: say`Pass one number, or one for each channel.`,
        },
      );
    }
    return Math.fround(values[values.length === 1 ? 0 : channel] ?? 0);
  };
  return Array.from({ length: channels }, (_, channel) => {
    const mean = normalize === undefined ? 0 : channelValue(normalize.mean, channel, 'image_mean');
    const std = normalize === undefined ? 1 : channelValue(normalize.std, channel, 'image_std');
    return Float32Array.from(
      { length: 256 },
      (__, sample) => Math.fround(Math.fround(sample * rescale) - mean) / std,
    );
  });
}

/** Converts pixels to the model's input, [1, channels, height, width] or [1, height, width, channels]. */
function toArray(
  { width, height, channels, data }: Pixels,
  tables: readonly Float32Array[],
  layout: ImageForm['layout'],
  { reversesChannels }: ImageSteps,
): NumericArray {
  const area = width * height;
  const values = new Float32Array(area * channels);
  tables.forEach((table, channel) => {
    const target = reversesChannels ? channels - 1 - channel : channel;
    for (let pixel = 0; pixel < area; pixel++) {
      const to = layout === 'NCHW' ? target * area + pixel : pixel * channels + target;
      values[to] = table[data[pixel * channels + channel] ?? 0] ?? 0;
    }
  });
  const dims = layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels];
  return { dtype: 'F32', dims, data: values };
}
