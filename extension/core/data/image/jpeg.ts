import { decode } from 'jpeg-js';
import { maxPixels } from './pixels';
import type { Pixels } from './pixels';

/** Most memory that decoding one image may take. */
const maxMemoryMegabytes = 1024;
/** Most pixels that a byte can stand for: a block of 8 × 8 takes a bit at least. */
const pixelsPerByte = 8 * 64;
const exifStart = Buffer.from('Exif\0\0', 'latin1');
const applicationSegment = 0xe1;
const startOfScan = 0xda;

export function isJpeg(bytes: Buffer): boolean {
  return bytes.length > 3 && bytes.readUIntBE(0, 3) === 0xffd8ff;
}

/**
 * Decodes a JPEG image into red, green, blue and alpha.
 * @throws Error saying what is wrong with the file.
 */
export function decodeJpeg(bytes: Buffer): Pixels & { exif?: Buffer } {
  const { width, height, data } = decode(bytes, {
    useTArray: true,
    tolerantDecoding: false,
    maxResolutionInMP: Math.min(maxPixels, pixelsPerByte * bytes.length) / 1e6,
    maxMemoryUsageInMB: maxMemoryMegabytes,
  });
  const exif = findExif(bytes);
  return { width, height, channels: 4, data, ...(exif === undefined ? {} : { exif }) };
}

/** The EXIF metadata in front of the pixels. */
function findExif(bytes: Buffer): Buffer | undefined {
  for (let position = 2; position + 4 <= bytes.length;) {
    const type = bytes.readUInt8(position + 1);
    const content = bytes.subarray(position + 4, position + 2 + bytes.readUInt16BE(position + 2));
    if (bytes.readUInt8(position) !== 0xff || type === startOfScan) {
      return undefined;
    }
    if (type === applicationSegment && content.subarray(0, 6).equals(exifStart)) {
      return content.subarray(exifStart.length);
    }
    position += 4 + content.length;
  }
  return undefined;
}
