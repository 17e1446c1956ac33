import { numberToHalf } from '../../../checkpoints/half';
import { extreme, fitAffine, fitSymmetric } from './fit';
import type { AffineSearch } from './fit';
import { sumOfSquares, weigh } from './quantizer';
import type { RowQuantizer } from './quantizer';

const { fround, abs } = Math;
const size = 32;
const numbers = new Uint8Array(size);
const weights = new Float32Array(size);
const block = new Float32Array(size);
const minimumOf = new Float32Array(1);

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

/** Q4_0 and Q5_0: a scale and 32 numbers of `bits` bits. */
export function symmetric(bits: 4 | 5): RowQuantizer {
  const half = 2 ** (bits - 1);
  const bytes = bits === 4 ? 18 : 22;
  return (x, out, at, importance) => {
    const spread = fround(sumOfSquares(x, 0, importance === undefined ? 0 : x.length) / x.length);
    for (let from = 0, to = at; from < x.length; from += size, to += bytes) {
      let scale: number;
      if (importance === undefined) {
        scale = fround(extreme({ x, at: from, count: size }) / -half);
        const inverse = scale === 0 ? 0 : fround(1 / scale);
        for (let i = 0; i < size; i++) {
          const moved = fround(fround((x[from + i] ?? 0) * inverse) + (half + 0.5));
          numbers[i] = Math.min(2 * half - 1, Math.trunc(moved));
        }
      } else {
        weigh(x, importance, from, spread, weights, size);
        block.set(x.subarray(from, from + size));
        scale = fitSymmetric({ x: block, at: 0, count: size }, half, numbers, weights);
      }
      out.setUint16(to, numberToHalf(scale), true);
      store(out, to + 2, bits);
    }
  };
}

/** Q4_1 and Q5_1: a scale, a minimum and 32 numbers of `bits` bits. */
export function affine(bits: 4 | 5): RowQuantizer {
  const search: AffineSearch = { most: 2 ** bits - 1, from: -0.9, step: 0.05, steps: 36 };
  const bytes = bits === 4 ? 20 : 24;
  return (x, out, at, importance) => {
    const spread = fround(sumOfSquares(x, 0, importance === undefined ? 0 : x.length) / x.length);
    for (let from = 0, to = at; from < x.length; from += size, to += bytes) {
      let scale: number;
      let minimum: number;
      if (importance === undefined) {
        [scale, minimum] = spanned(x, from, search.most);
      } else {
        weigh(x, importance, from, spread, weights, size);
        block.set(x.subarray(from, from + size));
        scale = fitAffine({ x: block, at: 0, count: size }, search, weights, numbers, minimumOf, 0);
        minimum = -(minimumOf[0] ?? 0);
      }
      out.setUint16(to, numberToHalf(scale), true);
      out.setUint16(to + 2, numberToHalf(minimum), true);
      store(out, to + 4, bits);
    }
  };
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

/** Number i and number i + 16 share a byte; fifth bits lie before them in four bytes. */
function store(out: DataView, at: number, bits: 4 | 5): void {
  const from = bits === 4 ? at : at + 4;
  let fifth = 0;
  for (let i = 0; i < 16; i++) {
    const [low, high] = [numbers[i] ?? 0, numbers[i + 16] ?? 0];
    out.setUint8(from + i, (low & 15) | ((high & 15) << 4));
    fifth |= ((low >> 4) << i) | ((high >> 4) << (i + 16));
  }
  if (bits === 5) {
    out.setInt32(at, fifth, true);
  }
}
