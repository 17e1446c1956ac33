import { printable, printableText } from '../../printable';
import type { Dataset } from './dataset';

/** Preview of an example. */
export type ExampleContent =
  | {
      readonly kind: 'picture';
      readonly width: number;
      readonly height: number;
      /** RGB pixels in row order, base64. */
      readonly pixels: string;
    }
  | {
      readonly kind: 'text';
      /** Start of the text, or all of it; control characters are escaped. */
      readonly text: string;
      /** Length of the full text in characters. */
      readonly length: number;
      readonly isWhole: boolean;
    }
  | {
      readonly kind: 'numbers';
      /** First values. */
      readonly values: readonly number[];
      /** Column names, for tables. */
      readonly columns?: readonly string[];
      /** Number of all values. */
      readonly count: number;
    };

/** Size limits of a preview. */
interface ContentLimits {
  /** Longest side of an image in pixels. */
  readonly side: number;
  readonly characters: number;
  readonly numbers: number;
}

/** Limits in a list of examples, and for a single example. */
const limits = {
  card: { side: 96, characters: 600, numbers: 12 },
  whole: { side: 512, characters: 200_000, numbers: 2000 },
} as const satisfies Readonly<Record<string, ContentLimits>>;

/** Interpretation of feature axes as an image. */
interface PictureAxes {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** True if the channels of a pixel are adjacent in memory. */
  readonly channelsLast: boolean;
}

/** Interprets two axes as a grayscale image, and three as an image if the first or last has size 1 or 3. */
function pictureAxes(shape: readonly number[]): PictureAxes | undefined {
  const [a = 0, b = 0, c = 0] = shape;
  const isChannels = (size: number): size is 1 | 3 => size === 1 || size === 3;
  if (shape.length === 2 && a > 1 && b > 1) {
    return { channels: 1, height: a, width: b, channelsLast: false };
  }
  if (shape.length !== 3) {
    return undefined;
  }
  if (isChannels(a)) {
    return { channels: a, height: b, width: c, channelsLast: false };
  }
  return isChannels(c) ? { channels: c, height: a, width: b, channelsLast: true } : undefined;
}

/** Preview of an example as an image, a text or numbers. */
export function exampleContent(
  dataset: Dataset,
  index: number,
  much: keyof typeof limits = 'card',
): ExampleContent {
  const { side, characters, numbers } = limits[much];
  if (dataset.text !== undefined) {
    const text = dataset.text(index);
    const isWhole = text.length <= characters;
    const shown = printableText(isWhole ? text : text.slice(0, characters));
    return { kind: 'text', text: shown, length: text.length, isWhole };
  }
  const features = dataset.features([index]);
  const axes = pictureAxes(dataset.featureShape);
  return axes === undefined
    ? {
        kind: 'numbers',
        values: [...features.subarray(0, numbers)],
        ...(dataset.columns === undefined
          ? {}
          : { columns: dataset.columns.slice(0, numbers).map(printable) }),
        count: features.length,
      }
    : picture(features, axes, side);
}

/** Downsamples large images by averaging squares of pixels. */
function picture(features: Float32Array, axes: PictureAxes, maxSide: number): ExampleContent {
  const { channels, height, width, channelsLast } = axes;
  const step = Math.max(1, Math.ceil(Math.max(height, width) / maxSide));
  const [rows, columns] = [Math.ceil(height / step), Math.ceil(width / step)];
  const scale = brightnessScale(features);
  const pixels = Buffer.alloc(rows * columns * 3);
  const at = (channel: number, y: number, x: number): number =>
    features[
      channelsLast ? (y * width + x) * channels + channel : (channel * height + y) * width + x
    ] ?? 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let color = 0; color < 3; color++) {
        const channel = channels === 1 ? 0 : color;
        let [sum, count] = [0, 0];
        for (let y = row * step; y < Math.min(height, (row + 1) * step); y++) {
          for (let x = column * step; x < Math.min(width, (column + 1) * step); x++) {
            sum += at(channel, y, x);
            count++;
          }
        }
        pixels[(row * columns + column) * 3 + color] = Math.round(255 * scale(sum / count));
      }
    }
  }
  return { kind: 'picture', width: columns, height: rows, pixels: pixels.toString('base64') };
}

/** Maps values to brightness: unchanged if between 0 and 1, otherwise scaled to their own range. */
function brightnessScale(features: Float32Array): (value: number) => number {
  const low = features.reduce((least, value) => Math.min(least, value), 0);
  const high = features.reduce((most, value) => Math.max(most, value), 0);
  return low >= 0 && high <= 1
    ? (value) => value
    : (value) => (high === low ? 0 : (value - low) / (high - low));
}

/** Searchable text of an example: its text, columns as `name=value`, and path. */
export function searchableText(dataset: Dataset, index: number): string {
  const { columns = [] } = dataset;
  const values = columns.length === 0 ? [] : dataset.features([index]);
  return [
    dataset.text?.(index) ?? '',
    dataset.place?.(index) ?? '',
    ...columns.map((name, i) => `${name}=${Number((values[i] ?? 0).toPrecision(6))}`),
  ].join('\n');
}
