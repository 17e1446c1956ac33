import { crc32, deflateSync } from 'node:zlib';
import { decode } from 'fast-png';

/** A picture of an animation and how long it is shown. */
export interface Frame {
  /** PNG with 8 bits per channel; all frames have one size. */
  readonly png: Uint8Array;
  readonly seconds: number;
}

/**
 * Animated PNG that repeats forever, in a palette of the 256 most frequent colors. Each frame after the first stores
 * only the rectangle that differs from the one before.
 */
export function animatedPng(frames: readonly Frame[]): Buffer {
  const pictures = frames.map(({ png }) => decode(png));
  const [first] = pictures;
  if (first === undefined) throw new Error('an animation needs a frame');
  const { width, height } = first;
  const colors = pictures.map(({ data, channels }) => {
    const packed = new Uint32Array(width * height);
    for (let i = 0; i < packed.length; i++) {
      const at = i * channels;
      packed[i] = ((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0);
    }
    return packed;
  });
  const palette = mostFrequent(colors);
  const indexed = indexByPalette(colors, palette);
  let sequence = 0;
  const chunks = frames.flatMap(({ seconds }, i) => {
    const now = indexed[i] ?? new Uint8Array();
    const area = differingArea(indexed[i - 1], now, width, height);
    const control = Buffer.alloc(26);
    [sequence++, area.width, area.height, area.x, area.y].forEach((value, at) =>
      control.writeUInt32BE(value, 4 * at),
    );
    control.writeUInt16BE(Math.round(seconds * 100), 20);
    control.writeUInt16BE(100, 22);
    const pixels = deflateSync(cut(now, width, area), { level: 9 });
    if (i === 0) return [chunk('fcTL', control), chunk('IDAT', pixels)];
    const number = Buffer.alloc(4);
    number.writeUInt32BE(sequence++);
    return [chunk('fcTL', control), chunk('fdAT', Buffer.concat([number, pixels]))];
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3], 8);
  const animation = Buffer.alloc(8);
  animation.writeUInt32BE(frames.length, 0);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('acTL', animation),
    chunk('PLTE', Buffer.from(palette.flatMap((color) => [...rgbChannels(color)]))),
    ...chunks,
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function mostFrequent(pictures: readonly Uint32Array[]): number[] {
  const counts = new Map<number, number>();
  for (const picture of pictures) {
    for (const color of picture) counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 256)
    .map(([color]) => color);
}

/** Index of the nearest color of the palette for each pixel. */
function indexByPalette(
  pictures: readonly Uint32Array[],
  palette: readonly number[],
): Uint8Array[] {
  const nearest = new Map(palette.map((color, i) => [color, i]));
  const nearestIndex = (color: number): number => {
    const known = nearest.get(color);
    if (known !== undefined) return known;
    const distances = palette.map((other) => squaredDistance(color, other));
    const index = distances.indexOf(Math.min(...distances));
    nearest.set(color, index);
    return index;
  };
  return pictures.map((picture) => Uint8Array.from(picture, nearestIndex));
}

function rgbChannels(color: number): readonly [red: number, green: number, blue: number] {
  return [color >> 16, (color >> 8) & 255, color & 255];
}

function squaredDistance(a: number, b: number): number {
  const [other, channels] = [rgbChannels(b), rgbChannels(a)];
  return channels.reduce((sum, value, i) => sum + (value - (other[i] ?? 0)) ** 2, 0);
}

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function differingArea(
  before: Uint8Array | undefined,
  now: Uint8Array,
  width: number,
  height: number,
): Area {
  if (before === undefined) return { x: 0, y: 0, width, height };
  let [left, top, right, bottom] = [width - 1, height - 1, 0, 0];
  for (let i = 0; i < now.length; i++) {
    if (now[i] === before[i]) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  const [x, y] = [Math.min(left, right), Math.min(top, bottom)];
  return { x, y, width: Math.max(right - x, 0) + 1, height: Math.max(bottom - y, 0) + 1 };
}

/** Rows of an area, each after the filter byte 0. */
function cut(pixels: Uint8Array, width: number, area: Area): Buffer {
  const rows = Array.from({ length: area.height }, (_, row) => {
    const start = (area.y + row) * width + area.x;
    return Buffer.concat([Buffer.of(0), pixels.subarray(start, start + area.width)]);
  });
  return Buffer.concat(rows);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
