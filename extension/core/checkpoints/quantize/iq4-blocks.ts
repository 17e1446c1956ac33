import { nonLinearValues } from '../code-books';
import { numberToHalf } from '../half';
import { clamp, nearest } from './fit';
import { sumSquares, weigh } from './quantizer';
import type { ColumnImportance, RowQuantizer } from './quantizer';
import { block, borders, fitToBook, growths, numbers, scales, weights } from './search';

const { fround, abs } = Math;
/** Values per group, and per block that is fitted together. */
const [width, size] = [32, 256] as const;
const values = Int8Array.from(nonLinearValues);
const [lowest = 0] = values;
const highest = values[15] ?? 0;

/** By how far an integer lies above −128: the position of the greatest value that is no larger. */
const positions = Uint8Array.from({ length: 256 }, (_, i) =>
  Math.max(
    0,
    nonLinearValues.findLastIndex((value) => value <= i - 128),
  ),
);

/** Position of the value next to `x`. */
function closest(x: number): number {
  if (x <= lowest) {
    return 0;
  }
  // No number gets the highest as well.
  if (!(x < highest)) {
    return 15;
  }
  const below = positions[(x + 128) | 0] ?? 0;
  return fround(x - (values[below] ?? 0)) < fround((values[below + 1] ?? 0) - x)
    ? below
    : below + 1;
}

/** The least float32 at which {@link closest} gives a position. */
function borderTo(position: number): number {
  // Halving the way ends at two float32 next to each other.
  let [below, above] = [values[position - 1] ?? 0, values[position] ?? 0];
  for (;;) {
    const middle = fround((below + above) / 2);
    if (middle === below || middle === above) {
      return above;
    }
    [below, above] = closest(middle) < position ? [middle, above] : [below, middle];
  }
}

for (let i = 0; i < borders.length; i++) {
  borders[i] = borderTo(i + 1);
  growths[i] = (values[i + 1] ?? 0) - (values[i] ?? 0);
}

/** Fits the groups of `count` values; the spread of the weights is computed over `run` values. */
function fitGroups(
  x: Float32Array,
  from: number,
  count: number,
  run: number,
  importance: ColumnImportance | undefined,
): void {
  block.set(x.subarray(from, from + count));
  for (let at = 0; at < count; at += run) {
    const own = weights.subarray(at, at + run);
    if (importance === undefined) {
      for (let i = 0; i < run; i++) {
        own[i] = (block[at + i] ?? 0) ** 2;
      }
    } else {
      const spread = fround(sumSquares(block, at, run) * fround(2 / run));
      weigh(x, importance, from + at, spread, own, run);
    }
  }
  fitToBook(count / width, width, lowest);
}

function roundGroup(x: Float32Array, at: number, scale: number, to: number): void {
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  for (let i = 0; i < width; i++) {
    numbers[to + i] = closest(fround(inverse * (x[at + i] ?? 0)));
  }
}

/** Stores 32 codes from `from` on. */
export function storeIQ4(out: DataView, at: number, from: number): void {
  for (let i = 0; i < 16; i++) {
    out.setUint8(at + i, (numbers[from + i] ?? 0) | ((numbers[from + 16 + i] ?? 0) << 4));
  }
}

export const quantizeIQ4NL: RowQuantizer = (x, out, at, importance) => {
  for (let from = 0, to = at; from < x.length; from += size) {
    const count = Math.min(size, x.length - from);
    fitGroups(x, from, count, width, importance);
    for (let group = 0; group < count / width; group++, to += 18) {
      const scale = scales[group] ?? 0;
      roundGroup(x, from + width * group, scale, 0);
      out.setUint16(to, numberToHalf(scale), true);
      storeIQ4(out, to + 2, 0);
    }
  }
};

export const quantizeIQ4XS: RowQuantizer = (x, out, at, importance) => {
  for (let from = 0, to = at; from < x.length; from += size, to += 136) {
    fitGroups(x, from, size, size, importance);
    const greatest = scales.subarray(0, 8).reduce((a, b) => (abs(b) > abs(a) ? b : a), 0);
    const unit = fround(-greatest / 32);
    const inverse = unit === 0 ? 0 : fround(1 / unit);
    let high = 0;
    for (let group = 0; group < 8; group++) {
      const l = clamp(nearest(fround(inverse * (scales[group] ?? 0))), -32, 31);
      roundGroup(x, from + width * group, fround(unit * l), width * group);
      const number = l + 32;
      const even = group % 2 === 0;
      const low = to + 4 + (group >> 1);
      out.setUint8(low, even ? number & 15 : out.getUint8(low) | ((number & 15) << 4));
      high |= (number >> 4) << (2 * group);
      storeIQ4(out, to + 8 + 16 * group, width * group);
    }
    out.setUint16(to, numberToHalf(unit), true);
    out.setUint16(to + 2, high, true);
  }
};
