import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../../extension/core/data/image/decode-image';
import { UserError } from '../../../../extension/core/user-error';
import type { Failure } from '../../fail-with';
import { randomRuns } from '../../sample';

const images = join(import.meta.dirname, '../../../fixtures/examples/images');
const read = (name: string): Buffer => readFileSync(join(images, name));

function chunk(type: string, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(content.length + 12);
  bytes.writeUInt32BE(content.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(content, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), content.length + 8);
  return bytes;
}

interface Header {
  readonly width?: number;
  readonly height?: number;
  readonly depth?: number;
  readonly colorType?: number;
  readonly interlaced?: number;
}

function header({
  width = 2,
  height = 2,
  depth = 8,
  colorType = 0,
  interlaced = 0,
}: Header): Buffer {
  const bytes = Buffer.alloc(13);
  bytes.writeUInt32BE(width, 0);
  bytes.writeUInt32BE(height, 4);
  bytes.set([depth, colorType, 0, 0, interlaced], 8);
  return chunk('IHDR', bytes);
}

const end = chunk('IEND', new Uint8Array(0));
const pixels = (bytes: Uint8Array): Buffer => chunk('IDAT', deflateSync(bytes));
const png = (...chunks: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks]);
const gray = pixels(Uint8Array.of(0, 1, 2, 0, 3, 4));

function decode(bytes: Buffer): unknown {
  try {
    return decodeImage(bytes, 'a.png');
  } catch (error) {
    return error;
  }
}

describe('a hostile PNG', () => {
  it('differs from a valid one', () => {
    const { width, height, data } = decodeImage(png(header({}), gray, end), 'a.png');
    expect([width, height]).toEqual([2, 2]);
    expect([...data]).toEqual([1, 1, 1, 255, 2, 2, 2, 255, 3, 3, 3, 255, 4, 4, 4, 255]);
  });

  it('with metadata that unpack to a gigabyte costs nothing', () => {
    const profile = deflateSync(Buffer.alloc(1 << 28));
    const bomb = chunk('iCCP', Buffer.concat([Buffer.from('x\0\0', 'latin1'), profile]));
    const before = process.memoryUsage.rss();
    decodeImage(png(header({}), bomb, bomb, bomb, bomb, gray, end), 'a.png');
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
  });

  const cases: [string, Buffer, Failure][] = [
    ['of another kind', Buffer.from('GIF89a'), { code: 'image-format-unsupported', file: 'a.png' }],
    ['of no bytes', Buffer.alloc(0), { code: 'image-format-unsupported', file: 'a.png' }],
    [
      'whose pixels unpack to far more',
      png(header({}), pixels(Buffer.alloc(1 << 26)), end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'whose pixels are too few',
      png(header({ height: 3 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'of billions of pixels',
      png(header({ width: 100_000, height: 100_000 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'without pixels',
      png(header({ width: 0 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'of an unknown color type',
      png(header({ colorType: 5 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'of an unknown depth',
      png(header({ depth: 3 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'interlaced, of single bits',
      png(header({ depth: 1, interlaced: 1 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'interlaced in an unknown way',
      png(header({ interlaced: 2 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'with two headers',
      png(header({}), header({}), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    ['without a header', png(gray, end), { code: 'image-undecodable', file: 'a.png' }],
    [
      'with an unknown critical chunk',
      png(header({}), chunk('ABCD', gray), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'with a palette of no colors',
      png(header({ colorType: 3 }), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    [
      'whose colors are not in its palette',
      png(header({ colorType: 3 }), chunk('PLTE', Uint8Array.of(1, 2, 3)), gray, end),
      { code: 'image-undecodable', file: 'a.png' },
    ],
    ['without an end', png(header({}), gray), { code: 'image-undecodable', file: 'a.png' }],
  ];
  it.each(cases)('is refused: %s', (_, bytes, message) => {
    const error = decode(bytes);
    expect(error).toBeInstanceOf(UserError);
    expect(error as UserError).toFailWith(message);
  });
});

it('refuses a JPEG with more pixels than its bytes can encode, before allocating memory', () => {
  const bytes = Buffer.from(read('gray.jpg'));
  const startOfFrame = bytes.indexOf(Uint8Array.of(0xff, 0xc0));
  expect(startOfFrame).toBeGreaterThan(0);
  bytes.writeUInt16BE(9000, startOfFrame + 5);
  bytes.writeUInt16BE(9000, startOfFrame + 7);
  const before = process.memoryUsage.rss();
  const error = decode(bytes);
  expect(error).toBeInstanceOf(UserError);
  expect(error as UserError).toFailWith({ code: 'image-undecodable', file: 'a.png' });
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
});

describe.each([
  'rgb.png',
  'palette.png',
  'interlaced.png',
  'half-color.jpg',
  'progressive.jpg',
  'cmyk.jpg',
])('a damaged image: %s', (name) => {
  const sound = read(name);

  it('is refused when cut off', () => {
    for (let length = 0; length < sound.length - 2; length += 1 + Math.floor(length / 60)) {
      const result = decode(sound.subarray(0, length));
      expect(result, `${length} bytes`).toBeInstanceOf(UserError);
    }
  });

  it('is refused or decoded, and nothing else happens', () => {
    const change = fc.tuple(fc.nat(sound.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(sound);
        for (const [at, value] of changes) {
          bytes.writeUInt8(value, at);
        }
        const result = decode(bytes);
        if (!(result instanceof UserError)) {
          const { width, height, data } = result as ReturnType<typeof decodeImage>;
          expect(data.length).toBe(width * height * 4);
        }
      }),
      { numRuns: randomRuns(200, 50) },
    );
  });
});
