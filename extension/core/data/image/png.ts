import { crc32, inflateSync } from 'node:zlib';
import { convertIndexedToRgb, decode, encode } from 'fast-png';
import type { DecodedPng } from 'fast-png';
import { maxPixels } from './pixels';
import type { Pixels } from './pixels';

const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Chunks that affect pixels. Metadata is dropped, since some of it can decompress without limit. */
const visible = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
const indexed = 3;
/** Samples per pixel by color type. */
const samplesPerPixel: Readonly<Record<number, number>> = { 0: 1, 2: 3, [indexed]: 1, 4: 2, 6: 4 };
/** The seven passes of an interlaced image (Adam7): first column, first row, and steps. */
const passes = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Validated contents of a PNG file. */
interface PngParts {
  /** File without metadata. */
  readonly stripped: Buffer;
  readonly colorType: number;
  /** EXIF metadata, which may contain the orientation. */
  readonly exif?: Buffer;
}

export function isPng(bytes: Buffer): boolean {
  return bytes.subarray(0, signature.length).equals(signature);
}

/**
 * Decodes a PNG image as RGBA. Keeps the high byte of 16-bit samples, as PIL does for colors.
 * @throws Error describing the problem.
 */
export function decodePng(bytes: Buffer): Pixels & { exif?: Buffer } {
  const { stripped, colorType, exif } = readParts(bytes);
  const png = decode(stripped);
  const { width, height } = png;
  const data = colorType === indexed ? paletteToRgba(png) : samplesToRgba(png);
  return { width, height, channels: 4, data, ...(exif === undefined ? {} : { exif }) };
}

/** Encodes 8-bit samples with 1, 3 or 4 channels as a PNG file. */
export function encodePng({ width, height, channels, data }: Pixels): Uint8Array {
  return encode({ width, height, channels, data, depth: 8 });
}

function readParts(bytes: Buffer): PngParts {
  const chunks: Buffer[] = [signature];
  const compressed: Buffer[] = [];
  let header: Buffer | undefined;
  let exif: Buffer | undefined;
  let position = signature.length;
  for (let type = ''; type !== 'IEND';) {
    if (position + 12 > bytes.length) {
      throw new Error('the file ends too early');
    }
    const end = position + 12 + bytes.readUInt32BE(position);
    if (end > bytes.length) {
      throw new Error('the file ends too early');
    }
    const chunk = bytes.subarray(position, end);
    type = chunk.toString('latin1', 4, 8);
    const content = chunk.subarray(8, -4);
    if (crc32(chunk.subarray(4, -4)) !== chunk.readUInt32BE(chunk.length - 4)) {
      throw new Error(`the chunk ${JSON.stringify(type)} does not match its checksum`);
    }
    if ((type === 'IHDR') !== (header === undefined)) {
      throw new Error('IHDR must come first, and once');
    }
    if (type === 'IHDR') {
      header = content;
    } else if (type === 'IDAT') {
      compressed.push(content);
    } else if (type === 'eXIf') {
      exif = content;
    } else if (!visible.has(type) && /^[A-Z]/.test(type)) {
      throw new Error(`the chunk ${JSON.stringify(type)} is not known`);
    }
    if (visible.has(type)) {
      chunks.push(chunk);
    }
    position = end;
  }
  const colorType = checkSizes(header ?? Buffer.alloc(0), Buffer.concat(compressed));
  return { stripped: Buffer.concat(chunks), colorType, ...(exif === undefined ? {} : { exif }) };
}

/** Checks that the pixel data decompresses to the size in the header; returns the color type. */
function checkSizes(header: Buffer, compressed: Buffer): number {
  if (header.length !== 13) {
    throw new Error('IHDR has the wrong length');
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const [depth = 0, colorType = 0, , , interlaced = 0] = header.subarray(8);
  if (width < 1 || height < 1 || width * height > maxPixels) {
    throw new Error(`images of ${width}×${height} pixels are not read`);
  }
  const samples = samplesPerPixel[colorType];
  if (samples === undefined || ![1, 2, 4, 8, 16].includes(depth)) {
    throw new Error(`color type ${colorType} with ${depth} bits is not known`);
  }
  if (interlaced !== 0 && depth < 8) {
    throw new Error('interlaced images of fewer than 8 bits are not read');
  }
  const rowBytes = (columns: number): number => 1 + Math.ceil((columns * samples * depth) / 8);
  const expected =
    interlaced === 0
      ? height * rowBytes(width)
      : passes
          .map(([x, y, stepX, stepY]) => [
            Math.max(0, Math.ceil((width - x) / stepX)),
            Math.max(0, Math.ceil((height - y) / stepY)),
          ])
          .reduce((sum, [columns = 0, rows = 0]) => sum + (columns && rows * rowBytes(columns)), 0);
  const { length } = inflateSync(compressed, { maxOutputLength: expected });
  if (length !== expected) {
    throw new Error(`the pixels take ${expected} bytes, but the file has ${length}`);
  }
  return colorType;
}

function paletteToRgba(png: DecodedPng): Uint8Array {
  const colors = convertIndexedToRgb(png);
  return png.palette?.[0]?.length === 4 ? colors : spread(colors, 3, () => 255);
}

function samplesToRgba(png: DecodedPng): Uint8Array {
  const { channels, depth, transparency } = png;
  const samples = depth < 8 ? unpackBits(png) : png.data;
  // RGB and gray images may declare one transparent color.
  const hidden = transparency?.length === channels ? transparency : undefined;
  const isHidden = (from: number): boolean =>
    hidden?.every((value, channel) => samples[from + channel] === value) === true;
  const eight =
    depth === 16 ? Uint8Array.from(samples, (value) => value >> 8) : scaleUp(samples, depth);
  return spread(eight, channels, (from) =>
    channels % 2 === 0 ? (eight[from + channels - 1] ?? 0) : isHidden(from) ? 0 : 255,
  );
}

/** Unpacks samples of fewer than 8 bits. Every row starts at a byte boundary. */
function unpackBits({ width, height, depth, data }: DecodedPng): Uint8Array {
  const rowBytes = Math.ceil((width * depth) / 8);
  const mask = 2 ** depth - 1;
  const samples = new Uint8Array(width * height);
  for (let i = 0; i < samples.length; i++) {
    const bit = (i % width) * depth;
    const byte = data[Math.floor(i / width) * rowBytes + (bit >> 3)] ?? 0;
    samples[i] = (byte >> (8 - depth - (bit & 7))) & mask;
  }
  return samples;
}

const scaleUp = (samples: ArrayLike<number>, depth: number): Uint8Array =>
  depth === 8
    ? Uint8Array.from(samples)
    : Uint8Array.from(samples, (value) => value * (255 / (2 ** depth - 1)));

/** Converts gray or color samples, with or without alpha, to RGBA. */
function spread(
  samples: Uint8Array,
  channels: number,
  alphaAt: (from: number) => number,
): Uint8Array {
  const colors = channels < 3 ? 0 : 1;
  const rgba = new Uint8Array((samples.length / channels) * 4);
  for (let from = 0, to = 0; to < rgba.length; from += channels, to += 4) {
    rgba[to] = samples[from] ?? 0;
    rgba[to + 1] = samples[from + colors] ?? 0;
    rgba[to + 2] = samples[from + 2 * colors] ?? 0;
    rgba[to + 3] = alphaAt(from);
  }
  return rgba;
}
