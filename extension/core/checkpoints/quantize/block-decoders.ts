import type { DequantizedDType } from '../ggml-types';
import { halfToNumber } from '../half';
import { bookDecoders } from './book-decoders';
import type { BlockDecoder } from './book-decoders';

/** Numbers are float32 in the formats' definition: scales are multiplied in that precision. */
const { fround } = Math;

const half = (bytes: Buffer, at: number): number => halfToNumber(bytes.readUInt16LE(at));

/** Two numbers of four bits in each of 16 bytes: first all low ones, then all high ones. */
function nibbles(bytes: Buffer, at: number, i: number): number {
  const byte = bytes[at + (i % 16)] ?? 0;
  return i < 16 ? byte & 15 : byte >> 4;
}

function fillBlock(
  out: Float64Array,
  to: number,
  count: number,
  value: (i: number) => number,
): void {
  for (let i = 0; i < count; i++) {
    out[to + i] = fround(value(i));
  }
}

/** Number `i` of fields of `bits` bits: of each group of `width` bytes, all first fields come first. */
function field(bytes: Buffer, at: number, i: number, width: number, bits: number): number {
  const perGroup = (width * 8) / bits;
  const group = Math.floor(i / perGroup);
  const indexInGroup = i % perGroup;
  const byte = bytes[at + group * width + (indexInGroup % width)] ?? 0;
  return (byte >> (bits * Math.floor(indexInGroup / width))) & ((1 << bits) - 1);
}

/** Scale and minimum `i` of eight, six bits each, packed into the twelve bytes at `at`. */
function scaleAndMinimum(bytes: Buffer, at: number, i: number): [scale: number, minimum: number] {
  const byte = (k: number): number => bytes[at + k] ?? 0;
  return i < 4
    ? [byte(i) & 63, byte(i + 4) & 63]
    : [(byte(i + 4) & 15) | ((byte(i - 4) >> 6) << 4), (byte(i + 4) >> 4) | ((byte(i) >> 6) << 4)];
}

/** Q4_K and Q5_K: eight groups of 32 numbers, each with a scale and a minimum. */
function withMinima(
  bytes: Buffer,
  at: number,
  out: Float64Array,
  to: number,
  quant: (i: number) => number,
): void {
  const [d, dMin] = [half(bytes, at), half(bytes, at + 2)];
  for (let group = 0; group < 8; group++) {
    const [scale, minimum] = scaleAndMinimum(bytes, at + 4, group);
    const [s, m] = [fround(d * scale), fround(dMin * minimum)];
    fillBlock(out, to + 32 * group, 32, (i) => fround(s * quant(32 * group + i)) - m);
  }
}

/**
 * The block formats of llama.cpp as numbers, by the order of operations of the reference
 * (`gguf.quants`, ggml-quants.c), so that they are equal to the last bit of float32.
 */
export const blockDecoders: Readonly<Record<DequantizedDType, BlockDecoder>> = {
  Q8_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    fillBlock(out, to, 32, (i) => bytes.readInt8(at + 2 + i) * d);
  },
  Q4_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    fillBlock(out, to, 32, (i) => d * (nibbles(bytes, at + 2, i) - 8));
  },
  Q4_1: (bytes, at, out, to) => {
    const [d, m] = [half(bytes, at), half(bytes, at + 2)];
    fillBlock(out, to, 32, (i) => fround(d * nibbles(bytes, at + 4, i)) + m);
  },
  Q5_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    fillBlock(out, to, 32, (i) => d * (fiveBits(bytes, at + 2, i) - 16));
  },
  Q5_1: (bytes, at, out, to) => {
    const [d, m] = [half(bytes, at), half(bytes, at + 2)];
    fillBlock(out, to, 32, (i) => fround(d * fiveBits(bytes, at + 4, i)) + m);
  },
  Q2_K: (bytes, at, out, to) => {
    const [d, dMin] = [half(bytes, at + 80), half(bytes, at + 82)];
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group] ?? 0;
      const [s, m] = [fround(d * (packed & 15)), fround(dMin * (packed >> 4))];
      fillBlock(
        out,
        to + 16 * group,
        16,
        (i) => fround(s * field(bytes, at + 16, 16 * group + i, 32, 2)) - m,
      );
    }
  },
  Q3_K: (bytes, at, out, to) => {
    const d = half(bytes, at + 108);
    for (let group = 0; group < 16; group++) {
      const low = field(bytes, at + 96, group, 8, 4);
      const high = field(bytes, at + 104, group, 4, 2);
      const s = fround(d * (low + 16 * high - 32));
      fillBlock(out, to + 16 * group, 16, (i) => {
        const n = 16 * group + i;
        return s * (field(bytes, at + 32, n, 32, 2) + 4 * field(bytes, at, n, 32, 1) - 4);
      });
    }
  },
  Q4_K: (bytes, at, out, to) => {
    withMinima(bytes, at, out, to, (i) => field(bytes, at + 16, i, 32, 4));
  },
  Q5_K: (bytes, at, out, to) => {
    withMinima(
      bytes,
      at,
      out,
      to,
      (i) => field(bytes, at + 48, i, 32, 4) + 16 * field(bytes, at + 16, i, 32, 1),
    );
  },
  ...bookDecoders,
  Q6_K: (bytes, at, out, to) => {
    const d = half(bytes, at + 208);
    for (let group = 0; group < 16; group++) {
      const s = fround(d * bytes.readInt8(at + 192 + group));
      fillBlock(out, to + 16 * group, 16, (i) => {
        const n = 16 * group + i;
        const low = field(bytes, at, n, 64, 4);
        return s * (low + 16 * field(bytes, at + 128, n, 32, 2) - 32);
      });
    }
  },
};

/** Q5_0 and Q5_1: 32 fifth bits in four bytes, then 32 nibbles. */
function fiveBits(bytes: Buffer, at: number, i: number): number {
  const fifth = (bytes.readUInt32LE(at) >>> i) & 1;
  return nibbles(bytes, at + 4, i) + 16 * fifth;
}
