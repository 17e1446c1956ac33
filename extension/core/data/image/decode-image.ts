import { readWholeFile } from '../../regular-file';
import { UserError } from '../../user-error';
import { applyOrientation, maxPixels } from './pixels';
import type { Pixels } from './pixels';
import { decodePng, isPng } from './png';
import { say } from '../../message';
import { decode } from 'jpeg-js';

/** Maximum image file size in bytes. */
const maxImageBytes = 256 * 1024 * 1024;
const orientationTag = 0x0112;

/**
 * Reads a PNG or JPEG file as RGBA, with its EXIF orientation applied, as transformers' `load_image` does, except that
 * alpha is kept.
 * @throws UserError naming the file.
 */
export async function readImage(file: string): Promise<Pixels> {
  return decodeImage(
    await readWholeFile(file, maxImageBytes, say`Save a smaller image, or leave it out.`),
    file,
  );
}

/** Decodes PNG or JPEG data as {@link readImage} does. */
export function decodeImage(bytes: Buffer, file: string, field?: string): Pixels {
  const place = { file, ...(field === undefined ? {} : { field }) };
  const decode = isPng(bytes) ? decodePng : isJpeg(bytes) ? decodeJpeg : undefined;
  if (decode === undefined) {
    throw new UserError('image-format-unsupported', say`This is neither a PNG nor a JPEG image.`, {
      ...place,
      remedy: say`Convert it to PNG.`,
    });
  }
  try {
    const { exif, ...pixels } = decode(bytes);
    return applyOrientation(pixels, exif === undefined ? 1 : readOrientation(exif));
  } catch (error) {
    throw new UserError(
      'image-undecodable',
      say`The image cannot be decoded: ${errorText(error)}.`,
      {
        ...place,
        remedy: say`Save it again as a PNG of 8 bits per sample, or leave it out.`,
      },
    );
  }
}

function errorText(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

/** Orientation tag of EXIF metadata, which is in TIFF format; 1 if absent. */
function readOrientation(exif: Buffer): number {
  if (exif.length < 8) {
    return 1;
  }
  const little = exif.toString('latin1', 0, 2) === 'II';
  const read16 = (at: number): number =>
    at + 2 > exif.length ? 0 : little ? exif.readUInt16LE(at) : exif.readUInt16BE(at);
  const directory = little ? exif.readUInt32LE(4) : exif.readUInt32BE(4);
  const count = read16(directory);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + i * 12;
    if (read16(entry) === orientationTag) {
      return read16(entry + 8);
    }
  }
  return 1;
}

/** Maximum memory for decoding one image, in MB. */
const maxMemoryMegabytes = 1024;
/** Maximum number of pixels per byte: a block of 8 × 8 pixels takes at least one bit. */
const pixelsPerByte = 8 * 64;
const exifStart = Buffer.from('Exif\0\0', 'latin1');
const applicationSegment = 0xe1;
const scanMarker = 0xda;

function isJpeg(bytes: Buffer): boolean {
  return bytes.length > 3 && bytes.readUIntBE(0, 3) === 0xffd8ff;
}

/**
 * Decodes a JPEG image as RGBA.
 * @throws Error describing the problem.
 */
function decodeJpeg(bytes: Buffer): Pixels & { exif?: Buffer } {
  const { width, height, data } = decode(bytes, {
    useTArray: true,
    tolerantDecoding: false,
    maxResolutionInMP: Math.min(maxPixels, pixelsPerByte * bytes.length) / 1e6,
    maxMemoryUsageInMB: maxMemoryMegabytes,
  });
  const exif = findExif(bytes);
  return { width, height, channels: 4, data, ...(exif === undefined ? {} : { exif }) };
}

/** EXIF metadata before the pixel data. */
function findExif(bytes: Buffer): Buffer | undefined {
  for (let position = 2; position + 4 <= bytes.length;) {
    const type = bytes.readUInt8(position + 1);
    const content = bytes.subarray(position + 4, position + 2 + bytes.readUInt16BE(position + 2));
    if (bytes.readUInt8(position) !== 0xff || type === scanMarker) {
      return undefined;
    }
    if (type === applicationSegment && content.subarray(0, 6).equals(exifStart)) {
      return content.subarray(exifStart.length);
    }
    position += 4 + content.length;
  }
  return undefined;
}
