/** Maximum number of pixels of an image: the default limit of jpeg-js. */
export const maxPixels = 100_000_000;

/** Image of 8-bit samples, top row first, with interleaved channels. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 1: gray, 3: RGB, 4: RGBA. */
  readonly channels: number;
  /** [height][width][channels] */
  readonly data: Uint8Array;
}

/** Converts RGBA to RGB by dropping alpha, as PIL's `convert("RGB")`, or by blending with white. */
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

/** Blends a sample with white in fixed-point arithmetic with 7 fractional bits, as PIL's `alpha_composite`. */
function onWhite(sample: number, alpha: number): number {
  const sum = (sample * alpha + 255 * (255 - alpha)) * 128 + 0x80 * 128;
  return (((sum >> 8) + sum) >> 8) >> 7;
}

/** Converts to ITU-R 601 luma with 16 fractional bits, as PIL's `convert("L")`. */
export function toGray({ width, height, data }: Pixels): Pixels {
  const gray = new Uint8Array(width * height);
  for (let from = 0, to = 0; to < gray.length; from += 3, to++) {
    const weighted =
      (data[from] ?? 0) * 19595 + (data[from + 1] ?? 0) * 38470 + (data[from + 2] ?? 0) * 7471;
    gray[to] = (weighted + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: gray };
}

/** Center crop. Pixels outside the image are black. */
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

/** Applies an EXIF orientation (1 to 8) to an image. */
export function applyOrientation(image: Pixels, orientation: number): Pixels {
  const { width, height, channels, data } = image;
  if (orientation < 2 || orientation > 8) {
    return image;
  }
  const swaps = orientation >= 5;
  const mirrorsX = [2, 3, 7, 8].includes(orientation);
  const mirrorsY = [3, 4, 6, 7].includes(orientation);
  const rotated = new Uint8Array(data.length);
  const [columns, rows] = swaps ? [height, width] : [width, height];
  let to = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [across, down] = swaps ? [y, x] : [x, y];
      const column = mirrorsX ? width - 1 - across : across;
      const row = mirrorsY ? height - 1 - down : down;
      const from = (row * width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        rotated[to++] = data[from + channel] ?? 0;
      }
    }
  }
  return { width: columns, height: rows, channels, data: rotated };
}
