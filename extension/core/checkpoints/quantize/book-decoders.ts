import {
  codeBook,
  e2m1Values,
  e8m0Halves,
  evenSigns,
  nonLinearValues,
  ue4m3Halves,
} from '../code-books';
import type { CodeBook } from '../code-books';
import type { BookDType } from '../ggml-types';
import { halfToNumber } from '../half';

/** Writes the numbers of the block at `at` of `bytes` into `out` from `to` on. */
export type BlockDecoder = (bytes: Buffer, at: number, out: Float64Array, to: number) => void;

const { fround } = Math;

const half = (bytes: Buffer, at: number): number => halfToNumber(bytes.readUInt16LE(at));
const byteAt = (bytes: Buffer, at: number): number => bytes[at] ?? 0;

/** Field `i` of `bits` bits of bytes that hold several, the lowest first. */
function packed(bytes: Buffer, at: number, i: number, bits: number): number {
  const perByte = 8 / bits;
  return (byteAt(bytes, at + Math.floor(i / perByte)) >> (bits * (i % perByte))) & (2 ** bits - 1);
}

/** Writes a row of a book, scaled, with the signs of eight numbers from `sign` on. */
function fillRow(
  { width, values }: CodeBook,
  row: number,
  scale: number,
  isNegative: (i: number) => boolean,
  out: Float64Array,
  to: number,
): void {
  for (let i = 0; i < width; i++) {
    const size = fround(scale * (values[row * width + i] ?? 0));
    out[to + i] = isNegative(i) ? -size : size;
  }
}

const byBits =
  (bits: number, from = 0) =>
  (i: number): boolean =>
    ((bits >> (from + i)) & 1) === 1;
const byRow =
  (row: number, from = 0) =>
  (i: number): boolean =>
    (evenSigns.values[8 * row + from + i] ?? 1) < 0;

/** d · (½ + n) · factor */
const withHalf = (d: number, n: number, factor: number): number =>
  fround(fround(d * (0.5 + n)) * factor);

/** Rows of IQ1's book, moved by an eighth. */
function fillMoved(
  row: number,
  scale: number,
  isDown: boolean,
  out: Float64Array,
  to: number,
): void {
  const { values } = codeBook('IQ1_S');
  for (let i = 0; i < 8; i++) {
    out[to + i] = fround(scale * ((values[8 * row + i] ?? 0) + (isDown ? -0.125 : 0.125)));
  }
}

/** Decodes 4-bit codes: first the low nibbles of `width` bytes, then the high nibbles. */
function fillNibbles(
  bytes: Buffer,
  at: number,
  width: number,
  scale: number,
  table: readonly number[],
  out: Float64Array,
  to: number,
): void {
  for (let i = 0; i < width; i++) {
    const byte = byteAt(bytes, at + i);
    out[to + i] = fround(scale * (table[byte & 15] ?? 0));
    out[to + width + i] = fround(scale * (table[byte >> 4] ?? 0));
  }
}

/** Decoders of the formats that {@link BookDType} names, as of `blockDecoders`. */
export const bookDecoders: Readonly<Record<BookDType, BlockDecoder>> = {
  IQ1_S: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let group = 0; group < 8; group++) {
      const word = bytes.readUInt16LE(at + 34 + 2 * group);
      const scale = fround(d * (2 * ((word >> 12) & 7) + 1));
      for (let k = 0; k < 4; k++) {
        const row = byteAt(bytes, at + 2 + 4 * group + k) | (((word >> (3 * k)) & 7) << 8);
        fillMoved(row, scale, word >= 0x8000, out, to + 32 * group + 8 * k);
      }
    }
  },
  IQ1_M: (bytes, at, out, to) => {
    const words = [0, 1, 2, 3].map((i) => bytes.readUInt16LE(at + 48 + 2 * i));
    const d = halfToNumber(words.reduce((all, word, i) => all | ((word >> 12) << (4 * i)), 0));
    for (let row = 0; row < 32; row++) {
      const group = row >> 1;
      const factor = ((words[group >> 2] ?? 0) >> (3 * (group & 3))) & 7;
      const high = packed(bytes, at + 32, row, 4);
      const index = byteAt(bytes, at + row) | ((high & 7) << 8);
      fillMoved(index, fround(d * (2 * factor + 1)), high > 7, out, to + 8 * row);
    }
  },
  IQ2_XXS: (bytes, at, out, to) => {
    const [d, book] = [half(bytes, at), codeBook('IQ2_XXS')];
    for (let group = 0; group < 8; group++) {
      const from = at + 2 + 8 * group;
      const word = bytes.readUInt32LE(from + 4);
      const scale = withHalf(d, word >>> 28, 0.25);
      for (let k = 0; k < 4; k++) {
        const signs = byRow((word >>> (7 * k)) & 127);
        fillRow(book, byteAt(bytes, from + k), scale, signs, out, to + 32 * group + 8 * k);
      }
    }
  },
  IQ2_XS: (bytes, at, out, to) => {
    const [d, book] = [half(bytes, at), codeBook('IQ2_XS')];
    for (let row = 0; row < 32; row++) {
      const word = bytes.readUInt16LE(at + 2 + 2 * row);
      const scale = withHalf(d, packed(bytes, at + 66, row >> 1, 4), 0.25);
      fillRow(book, word & 511, scale, byRow(word >> 9), out, to + 8 * row);
    }
  },
  IQ2_S: (bytes, at, out, to) => {
    const [d, book] = [half(bytes, at), codeBook('IQ2_S')];
    for (let row = 0; row < 32; row++) {
      const index = byteAt(bytes, at + 2 + row) | (packed(bytes, at + 66, row, 2) << 8);
      const scale = withHalf(d, packed(bytes, at + 74, row >> 1, 4), 0.25);
      fillRow(book, index, scale, byBits(byteAt(bytes, at + 34 + row)), out, to + 8 * row);
    }
  },
  IQ3_XXS: (bytes, at, out, to) => {
    const [d, book] = [half(bytes, at), codeBook('IQ3_XXS')];
    for (let group = 0; group < 8; group++) {
      const word = bytes.readUInt32LE(at + 66 + 4 * group);
      const scale = withHalf(d, word >>> 28, 0.5);
      for (let k = 0; k < 8; k++) {
        const index = byteAt(bytes, at + 2 + 8 * group + k);
        const signs = byRow((word >>> (7 * (k >> 1))) & 127, 4 * (k & 1));
        fillRow(book, index, scale, signs, out, to + 32 * group + 4 * k);
      }
    }
  },
  IQ3_S: (bytes, at, out, to) => {
    const [d, book] = [half(bytes, at), codeBook('IQ3_S')];
    for (let row = 0; row < 64; row++) {
      const index = byteAt(bytes, at + 2 + row) | (packed(bytes, at + 66, row, 1) << 8);
      const scale = fround(d * (1 + 2 * packed(bytes, at + 106, row >> 3, 4)));
      const signs = byBits(byteAt(bytes, at + 74 + (row >> 1)), 4 * (row & 1));
      fillRow(book, index, scale, signs, out, to + 4 * row);
    }
  },
  IQ4_NL: (bytes, at, out, to) => {
    fillNibbles(bytes, at + 2, 16, half(bytes, at), nonLinearValues, out, to);
  },
  IQ4_XS: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let group = 0; group < 8; group++) {
      const scale = packed(bytes, at + 4, group, 4) + 16 * packed(bytes, at + 2, group, 2) - 32;
      const from = at + 8 + 16 * group;
      fillNibbles(bytes, from, 16, fround(d * scale), nonLinearValues, out, to + 32 * group);
    }
  },
  TQ1_0: (bytes, at, out, to) => {
    const d = half(bytes, at + 52);
    let next = to;
    for (const [from, width, digits] of [
      [0, 32, 5],
      [32, 16, 5],
      [48, 4, 4],
    ] as const) {
      for (let digit = 0; digit < digits; digit++) {
        for (let i = 0; i < width; i++) {
          const low = (byteAt(bytes, at + from + i) * 3 ** digit) & 255;
          out[next++] = fround(((low * 3) >> 8) - 1) * d;
        }
      }
    }
  },
  TQ2_0: (bytes, at, out, to) => {
    const d = half(bytes, at + 64);
    for (let i = 0; i < 256; i++) {
      const byte = byteAt(bytes, at + 32 * (i >> 7) + (i & 31));
      out[to + i] = (((byte >> (2 * ((i >> 5) & 3))) & 3) - 1) * d;
    }
  },
  MXFP4: (bytes, at, out, to) => {
    fillNibbles(bytes, at + 1, 16, e8m0Halves[byteAt(bytes, at)] ?? 0, e2m1Values, out, to);
  },
  NVFP4: (bytes, at, out, to) => {
    for (let group = 0; group < 4; group++) {
      const scale = ue4m3Halves[byteAt(bytes, at + group)] ?? 0;
      fillNibbles(bytes, at + 4 + 8 * group, 8, scale, e2m1Values, out, to + 16 * group);
    }
  },
  Q1_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 128; i++) {
      out[to + i] = packed(bytes, at + 2, i, 1) === 1 ? d : -d;
    }
  },
  Q2_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 64; i++) {
      out[to + i] = (packed(bytes, at + 2, i, 2) - 1) * d;
    }
  },
};
