import { nonLinearValues } from '../../../checkpoints/code-books';
import { numberToHalf } from '../../../checkpoints/half';
import { clamp, extreme, nearest, zeroBelow } from './fit';
import { sumOfSquares, weigh } from './quantizer';
import type { RowQuantizer } from './quantizer';

const { fround, abs } = Math;
const width = 32;
const values = Int8Array.from(nonLinearValues);
const [lowest = 0] = values;
const highest = values[15] ?? 0;
const steps = 7;
const weights = new Float32Array(width);
const scales = new Float32Array(8);
const numbers = new Uint8Array(256);

/** By how far a whole number lies above −128: the position of the greatest value that is no larger. */
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
  if (x >= highest) {
    return 15;
  }
  const below = positions[(x + 128) | 0] ?? 0;
  return fround(x - (values[below] ?? 0)) < fround((values[below + 1] ?? 0) - x)
    ? below
    : below + 1;
}

/** The scale of 32 numbers under `weights`. */
function fitScale(x: Float32Array, at: number): number {
  const value = extreme({ x, at, count: width });
  if (abs(value) < zeroBelow) {
    return 0;
  }
  let scale = 0;
  let best = 0;
  for (let step = -steps - 1; step <= steps; step++) {
    const isFirst = step < -steps;
    const inverse = isFirst ? fround(1 / fround(-value / lowest)) : fround((step + lowest) / value);
    let sumProducts = 0;
    let sumSquares = 0;
    for (let i = 0; i < width; i++) {
      const one = x[at + i] ?? 0;
      const q = values[closest(fround(inverse * one))] ?? 0;
      const weighted = fround((weights[i] ?? 0) * q);
      sumProducts = fround(sumProducts + fround(weighted * one));
      sumSquares = fround(sumSquares + fround(weighted * q));
    }
    if (isFirst) {
      scale = sumSquares > 0 ? fround(sumProducts / sumSquares) : 0;
      best = fround(scale * sumProducts);
    } else if (sumSquares > 0 && fround(sumProducts * sumProducts) > fround(best * sumSquares)) {
      scale = fround(sumProducts / sumSquares);
      best = fround(scale * sumProducts);
    }
  }
  return scale;
}

/** Fits the groups of a block of `size` numbers. */
function fitBlock(
  x: Float32Array,
  from: number,
  size: number,
  importance: Float32Array | undefined,
): void {
  const spread =
    importance === undefined ? 0 : fround(sumOfSquares(x, from, size) * fround(2 / size));
  for (let at = from; at < from + size; at += width) {
    if (importance === undefined) {
      for (let i = 0; i < width; i++) {
        weights[i] = (x[at + i] ?? 0) ** 2;
      }
    } else {
      weigh(x, importance, at, spread, weights, width);
    }
    scales[(at - from) / width] = fitScale(x, at);
  }
}

function roundGroup(x: Float32Array, at: number, scale: number, to: number): void {
  const inverse = scale === 0 ? 0 : fround(1 / scale);
  for (let i = 0; i < width; i++) {
    numbers[to + i] = closest(fround(inverse * (x[at + i] ?? 0)));
  }
}

function storeGroup(out: DataView, at: number, from: number): void {
  for (let i = 0; i < 16; i++) {
    out.setUint8(at + i, (numbers[from + i] ?? 0) | ((numbers[from + 16 + i] ?? 0) << 4));
  }
}

export const quantizeIQ4NL: RowQuantizer = (x, out, at, importance) => {
  for (let from = 0, to = at; from < x.length; from += width, to += 18) {
    fitBlock(x, from, width, importance);
    const [scale = 0] = scales;
    roundGroup(x, from, scale, 0);
    out.setUint16(to, numberToHalf(scale), true);
    storeGroup(out, to + 2, 0);
  }
};

export const quantizeIQ4XS: RowQuantizer = (x, out, at, importance) => {
  for (let from = 0, to = at; from < x.length; from += 256, to += 136) {
    fitBlock(x, from, 256, importance);
    const greatest = scales.reduce((a, b) => (abs(b) > abs(a) ? b : a), 0);
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
      storeGroup(out, to + 8 + 16 * group, width * group);
    }
    out.setUint16(to, numberToHalf(unit), true);
    out.setUint16(to + 2, high, true);
  }
};
