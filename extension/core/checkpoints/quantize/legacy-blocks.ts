import { numberToHalf } from '../half';
import { extreme } from './fit';
import { sumSquares, weigh } from './quantizer';
import type { ColumnImportance, RowQuantizer } from './quantizer';
import { block, fitAffine, fitSymmetric, minima, numbers, scales, weights } from './search';
import type { AffineSearch } from './search';

const { fround, abs } = Math;
const size = 32;

/** Q8_0: a scale and 32 numbers of eight bits. */
export const quantizeQ8: RowQuantizer = (x, out, at) => {
  for (let from = 0, to = at; from < x.length; from += size, to += 34) {
    const scale = fround(abs(extreme({ x, at: from, count: size })) / 127);
    const inverse = scale === 0 ? 0 : fround(1 / scale);
    out.setUint16(to, numberToHalf(scale), true);
    for (let i = 0; i < size; i++) {
      const value = fround((x[from + i] ?? 0) * inverse);
      const rounded = Math.floor(abs(value) + 0.5);
      out.setInt8(to + 2 + i, value < 0 ? -rounded : rounded);
    }
  }
};

/** Groups that are searched together. */
const together = 8;

/** Weighs some groups of a row and gives their number. */
function weighGroups(
  x: Float32Array,
  from: number,
  importance: ColumnImportance,
  spread: number,
): number {
  const count = Math.min(together * size, x.length - from);
  weigh(x, importance, from, spread, weights, count);
  block.set(x.subarray(from, from + count));
  return count / size;
}

const meanSquare = (x: Float32Array): number => fround(sumSquares(x, 0, x.length) / x.length);

/** Storage of the groups of a row in one type of block. */
interface BlockWriter {
  readonly bytes: number;
  /** Stores the group at `from`, rounded without a search. */
  readonly round: (x: Float32Array, from: number, out: DataView, to: number) => void;
  /** Searches the scales of the first `count` groups. */
  readonly fit: (count: number) => void;
  /** Stores a group that was searched. */
  readonly put: (out: DataView, to: number, group: number) => void;
}

/** Quantizes rows block by block; with importance, groups are searched together. */
const quantizer =
  ({ bytes, round, fit, put }: BlockWriter): RowQuantizer =>
  (x, out, at, importance) => {
    const groups = x.length / size;
    if (importance === undefined) {
      for (let group = 0; group < groups; group++) {
        round(x, size * group, out, at + bytes * group);
      }
      return;
    }
    const spread = meanSquare(x);
    for (let first = 0; first < groups; first += together) {
      const count = weighGroups(x, size * first, importance, spread);
      fit(count);
      for (let group = 0; group < count; group++) {
        put(out, at + bytes * (first + group), group);
      }
    }
  };

/** Q4_0 and Q5_0: a scale and 32 numbers of `bits` bits. */
export function symmetric(bits: 4 | 5): RowQuantizer {
  const half = 2 ** (bits - 1);
  const put = (out: DataView, to: number, scale: number, group: number): void => {
    out.setUint16(to, numberToHalf(scale), true);
    storeCodes(out, to + 2, bits, size * group);
  };
  return quantizer({
    bytes: bits === 4 ? 18 : 22,
    round: (x, from, out, to) => {
      put(out, to, reachedBy(x, from, half), 0);
    },
    fit: (count) => {
      fitSymmetric(count, size, half);
    },
    put: (out, to, group) => {
      put(out, to, scales[group] ?? 0, group);
    },
  });
}

/** Q4_1 and Q5_1: a scale, a minimum and 32 numbers of `bits` bits. */
export function affine(bits: 4 | 5): RowQuantizer {
  const search: AffineSearch = { most: 2 ** bits - 1, from: -0.9, step: 0.05, steps: 36 };
  const put = (
    out: DataView,
    to: number,
    [scale, minimum]: readonly [scale: number, minimum: number],
    group: number,
  ): void => {
    out.setUint16(to, numberToHalf(scale), true);
    out.setUint16(to + 2, numberToHalf(minimum), true);
    storeCodes(out, to + 4, bits, size * group);
  };
  return quantizer({
    bytes: bits === 4 ? 20 : 24,
    round: (x, from, out, to) => {
      put(out, to, spanned(x, from, search.most), 0);
    },
    fit: (count) => {
      fitAffine(count, size, search);
    },
    put: (out, to, group) => {
      put(out, to, [scales[group] ?? 0, -(minima[group] ?? 0)], group);
    },
  });
}

/** Scale at which the code −half represents the value of the largest magnitude. */
function reachedBy(x: Float32Array, from: number, half: number): number {
  const scale = fround(extreme({ x, at: from, count: size }) / -half);
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  for (let i = 0; i < size; i++) {
    const moved = fround(fround((x[from + i] ?? 0) * inverse) + (half + 0.5));
    numbers[i] = Math.min(2 * half - 1, Math.trunc(moved));
  }
  return scale;
}

/** Scale and minimum that reach from the smallest number to the largest. */
function spanned(x: Float32Array, from: number, most: number): [scale: number, minimum: number] {
  let minimum = x[from] ?? 0;
  let maximum = minimum;
  for (let i = from + 1; i < from + size; i++) {
    const one = x[i] ?? 0;
    minimum = one < minimum ? one : minimum;
    maximum = one > maximum ? one : maximum;
  }
  const scale = fround(fround(maximum - minimum) / most);
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  for (let i = 0; i < size; i++) {
    const moved = fround(fround((x[from + i] ?? 0) - minimum) * inverse);
    numbers[i] = Math.min(most, Math.trunc(fround(moved + 0.5)));
  }
  return [scale, minimum];
}

/**
 * Codes `first` + i and `first` + i + 16 share a byte. Their fifth bits are in the four bytes
 * before.
 */
export function storeCodes(out: DataView, at: number, bits: 4 | 5, first: number): void {
  const from = bits === 4 ? at : at + 4;
  let fifth = 0;
  for (let i = 0; i < 16; i++) {
    const [low, high] = [numbers[first + i] ?? 0, numbers[first + i + 16] ?? 0];
    out.setUint8(from + i, (low & 15) | ((high & 15) << 4));
    fifth |= ((low >> 4) << i) | ((high >> 4) << (i + 16));
  }
  if (bits === 5) {
    out.setInt32(at, fifth, true);
  }
}
