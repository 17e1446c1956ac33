import { UserError } from '../../user-error';
import { maxPixels } from './pixels';
import type { Pixels } from './pixels';
import { say } from '../../message';

/** Resampling filter as a function of the distance from its center, in pixels of the coarser image. */
interface Filter {
  /** Radius of the nonzero part of the filter. */
  readonly support: number;
  readonly weight: (distance: number) => number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Filters of `PIL.Image.Resampling` by name. */
const filters = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys' cubic convolution with a = −1/2.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0),
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, Filter>;

export type Resample = keyof typeof filters | 'nearest';

/** Names by the values of `PIL.Image.Resampling`. */
export const resamples: readonly Resample[] = [
  'nearest',
  'lanczos',
  'bilinear',
  'bicubic',
  'box',
  'hamming',
];

/** Fractional bits of PIL's fixed-point weights for 8-bit images. */
const precisionBits = 22;

/** Source pixels that contribute to one target pixel. */
interface Window {
  readonly first: number;
  /** Fixed-point weights with {@link precisionBits} fractional bits. */
  readonly weights: readonly number[];
}

/**
 * Resizes with results identical to `PIL.Image.resize`: filters are widened when downsampling, and samples are rounded
 * to 8 bits after each of two passes. The horizontal pass is first unless the height shrinks by more than twice as many
 * pixels as the width, as in Pillow since version 13.
 * @throws UserError if the result would be too large.
 */
export function resize(image: Pixels, height: number, width: number, resample: Resample): Pixels {
  if (!(height >= 1 && width >= 1 && height * width <= maxPixels)) {
    throw new UserError(
      'image-size-unsupported',
      say`An image of ${image.width}×${image.height} would become ${width}×${height}.`,
      { remedy: say`Images may have 1 to ${maxPixels} pixels.` },
    );
  }
  if (resample === 'nearest') {
    return resizeNearest(image, height, width);
  }
  const filter = filters[resample];
  const horizontal = (from: Pixels): Pixels =>
    width === from.width ? from : resizeRows(from, windows(from.width, width, filter));
  const vertical = (from: Pixels): Pixels =>
    height === from.height ? from : resizeColumns(from, windows(from.height, height, filter));
  const lost = image.height - height;
  return lost > 0 && lost > 2 * (image.width - width)
    ? horizontal(vertical(image))
    : vertical(horizontal(image));
}

/** Filter windows along an axis that is resized from `from` to `to` pixels. */
function windows(from: number, to: number, { support, weight }: Filter): Window[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: end - first }, (__, k) =>
      weight((k + first - center + 0.5) * (1 / stretch)),
    );
    const sum = weights.reduce((total, value) => total + value, 0);
    return {
      first,
      weights: weights.map((value) => toFixedPoint(sum === 0 ? value : value / sum)),
    };
  });
}

const toFixedPoint = (value: number): number =>
  Math.trunc((value < 0 ? -0.5 : 0.5) + value * 2 ** precisionBits);

function resizeRows({ height, channels, data, width: from }: Pixels, columns: Window[]): Pixels {
  const width = columns.length;
  const resized = new Uint8Array(width * height * channels);
  columns.forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++) {
      for (let channel = 0; channel < channels; channel++) {
        resized[(y * width + x) * channels + channel] = weigh(
          data,
          (y * from + first) * channels + channel,
          channels,
          weights,
        );
      }
    }
  });
  return { width, height, channels, data: resized };
}

function resizeColumns({ width, channels, data }: Pixels, rows: Window[]): Pixels {
  const stride = width * channels;
  const resized = new Uint8Array(rows.length * stride);
  rows.forEach(({ first, weights }, y) => {
    for (let i = 0; i < stride; i++) {
      resized[y * stride + i] = weigh(data, first * stride + i, stride, weights);
    }
  });
  return { width, height: rows.length, channels, data: resized };
}

/** Weighted sum of samples that are `stride` apart, rounded and clamped to 0 … 255. */
function weigh(
  data: Uint8Array,
  start: number,
  stride: number,
  weights: readonly number[],
): number {
  let sum = 1 << (precisionBits - 1);
  let from = start;
  for (const weight of weights) {
    sum += (data[from] ?? 0) * weight;
    from += stride;
  }
  return Math.min(255, Math.max(0, sum >> precisionBits));
}

function resizeNearest(image: Pixels, height: number, width: number): Pixels {
  const { channels, data } = image;
  const rows = nearest(image.height, height);
  const columns = nearest(image.width, width);
  const resized = new Uint8Array(height * width * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        resized[to++] = data[from + channel] ?? 0;
      }
    }
  }
  return { width, height, channels, data: resized };
}

/**
 * Source positions for nearest-neighbor resampling. Adds up positions instead of multiplying, to match PIL's rounding.
 */
function nearest(from: number, to: number): number[] {
  const scale = from / to;
  let position = scale * 0.5;
  return Array.from({ length: to }, () => {
    const pixel = Math.min(from - 1, Math.trunc(position));
    position += scale;
    return pixel;
  });
}
