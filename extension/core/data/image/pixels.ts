/** Most pixels of an image, read or computed: what jpeg-js takes by default. */
export const maxPixels = 100_000_000;

/** An image as 8-bit samples, rows from the top, the channels of a pixel beside each other. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 1 gray, 3 red, green, blue, 4 also alpha. */
  readonly channels: number;
  /** [height][width][channels] */
  readonly data: Uint8Array;
}

/** Red, green and blue without alpha: as PIL's `convert("RGB")`, or blended with white. */
export function toRgb({ width, height, data }: Pixels, background: 'ignore' | 'white'): Pixels {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    const alpha = background === 'white' ? (data[from + 3] ?? 0) : 255;
    for (let channel = 0; channel < 3; channel++) {
      rgb[to + channel] = onWhite(data[from + channel] ?? 0, alpha);
    }
  }
  return { width, height, channels: 3, data: rgb };
}

/** A sample over white, in the whole numbers of PIL's `alpha_composite` (7 bits behind the point). */
function onWhite(sample: number, alpha: number): number {
  const sum = (sample * alpha + 255 * (255 - alpha)) * 128 + 0x80 * 128;
  return (((sum >> 8) + sum) >> 8) >> 7;
}

/** The luma of ITU-R 601 in 16 bits behind the point, as PIL's `convert("L")`. */
export function toGray({ width, height, data }: Pixels): Pixels {
  const gray = new Uint8Array(width * height);
  for (let from = 0, to = 0; to < gray.length; from += 3, to++) {
    const weighted =
      (data[from] ?? 0) * 19595 + (data[from + 1] ?? 0) * 38470 + (data[from + 2] ?? 0) * 7471;
    gray[to] = (weighted + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: gray };
}

/** The middle of an image; what lies outside is black. */
export function centerCrop(image: Pixels, height: number, width: number): Pixels {
  const { channels } = image;
  const top = Math.floor((image.height - height) / 2);
  const left = Math.floor((image.width - width) / 2);
  const data = new Uint8Array(height * width * channels);
  const firstColumn = Math.max(0, left);
  const lastColumn = Math.min(image.width, left + width);
  for (let y = Math.max(0, -top); y < height && y + top < image.height; y++) {
    const row = (y + top) * image.width;
    data.set(
      image.data.subarray((row + firstColumn) * channels, (row + lastColumn) * channels),
      (y * width + firstColumn - left) * channels,
    );
  }
  return { width, height, channels, data };
}

/**
 * Turns an image the way the EXIF tag Orientation (1 to 8) says it is to be seen.
 */
export function applyOrientation(image: Pixels, orientation: number): Pixels {
  const { width, height, channels, data } = image;
  if (orientation < 2 || orientation > 8) {
    return image;
  }
  const swaps = orientation >= 5;
  const mirrorsX = [2, 3, 7, 8].includes(orientation);
  const mirrorsY = [3, 4, 6, 7].includes(orientation);
  const turned = new Uint8Array(data.length);
  const [columns, rows] = swaps ? [height, width] : [width, height];
  let to = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [across, down] = swaps ? [y, x] : [x, y];
      const column = mirrorsX ? width - 1 - across : across;
      const row = mirrorsY ? height - 1 - down : down;
      const from = (row * width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        turned[to++] = data[from + channel] ?? 0;
      }
    }
  }
  return { width: columns, height: rows, channels, data: turned };
}
