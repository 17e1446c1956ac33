import { printable, printableText } from '../../printable';
import type { Dataset } from './dataset';

/** What can be shown of an example. */
export type ExampleContent =
  | {
      readonly kind: 'picture';
      readonly width: number;
      readonly height: number;
      /** Red, green and blue of each pixel, row by row, in base64. */
      readonly pixels: string;
    }
  | {
      readonly kind: 'text';
      /** The beginning of it, or all; characters that nobody sees are written out. */
      readonly text: string;
      /** Characters of the whole. */
      readonly length: number;
      readonly isWhole: boolean;
    }
  | {
      readonly kind: 'numbers';
      /** The first of them. */
      readonly values: readonly number[];
      /** Their names, where they are columns of a table. */
      readonly columns?: readonly string[];
      /** All of them. */
      readonly count: number;
    };

/** How much of an example is shown. */
interface ContentLimits {
  /** Longest side of a picture, in pixels. */
  readonly side: number;
  readonly characters: number;
  readonly numbers: number;
}

/** In a list of examples, and alone. */
const limits = {
  card: { side: 96, characters: 600, numbers: 12 },
  whole: { side: 512, characters: 200_000, numbers: 2000 },
} as const satisfies Readonly<Record<string, ContentLimits>>;

/** Which axes of the features are what, where they are a picture. */
interface PictureAxes {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** Whether the channels of a pixel lie beside each other. */
  readonly channelsLast: boolean;
}

/** Two axes are a gray picture; of three, the one of size 1 or 3 at an end are the channels. */
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

/** The example as a picture, a text or numbers. */
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

/** Averages over squares of pixels where there are too many. */
function picture(features: Float32Array, axes: PictureAxes, maxSide: number): ExampleContent {
  const { channels, height, width, channelsLast } = axes;
  const step = Math.max(1, Math.ceil(Math.max(height, width) / maxSide));
  const [rows, columns] = [Math.ceil(height / step), Math.ceil(width / step)];
  const scale = scaleOf(features);
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

/** Numbers from 0 to 1 are light as they are; others are spread over their own range. */
function scaleOf(features: Float32Array): (value: number) => number {
  const low = features.reduce((least, value) => Math.min(least, value), 0);
  const high = features.reduce((most, value) => Math.max(most, value), 0);
  return low >= 0 && high <= 1
    ? (value) => value
    : (value) => (high === low ? 0 : (value - low) / (high - low));
}

/** What of an example can be searched: its text, its columns as `name=value`, and where it lies. */
export function searchableText(dataset: Dataset, index: number): string {
  const { columns = [] } = dataset;
  const values = columns.length === 0 ? [] : dataset.features([index]);
  return [
    dataset.text?.(index) ?? '',
    dataset.place?.(index) ?? '',
    ...columns.map((name, i) => `${name}=${Number((values[i] ?? 0).toPrecision(6))}`),
  ].join('\n');
}
