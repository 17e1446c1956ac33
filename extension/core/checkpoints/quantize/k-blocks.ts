import { halfToNumber, numberToHalf } from '../half';
import { clamp, fitPositive, fitStepwise, nearest, zeroBelow } from './fit';
import { sumValues, sumSquares, weigh } from './quantizer';
import type { ColumnImportance, RowQuantizer } from './quantizer';
import {
  block,
  fitAffine,
  fitScales,
  fitSymmetric,
  minima,
  numbers,
  scaleNumbers,
  scales,
  sums,
  weights,
} from './search';
import type { AffineSearch } from './search';

const { fround, abs, sqrt } = Math;
/** Numbers of a block. */
const size = 256;
const minimumNumbers = new Uint8Array(16);

type BlockQuantizer = (out: DataView, at: number, importance: ColumnImportance | undefined) => void;

/** Row after row of 256 numbers, copied to `block`. */
function quantizeByBlocks(bytes: number, quantize: BlockQuantizer): RowQuantizer {
  return (x, out, at, importance) => {
    for (let from = 0, to = at; from < x.length; from += size, to += bytes) {
      block.set(x.subarray(from, from + size));
      const own = importance && {
        ...importance,
        numbers: importance.numbers.subarray(from, from + size),
      };
      quantize(out, to, own);
    }
  };
}

/** Search parameters of a format with minima. */
interface AffineFormat {
  readonly width: 16 | 32;
  /** Largest code of a scale or minimum. */
  readonly most: number;
  readonly plain: AffineSearch;
  readonly weighted: AffineSearch;
  /** Factor applied to Σ x² to get the spread of the weights. */
  readonly spread: number;
}

/** Fits `block`, and gives the bits of the block's own scale and minimum (float16). */
function fitGroups(
  { width, most, plain, weighted, spread }: AffineFormat,
  importance: ColumnImportance | undefined,
): readonly [scale: number, minimum: number] {
  const groups = size / width;
  const squares = importance === undefined ? 0 : sumSquares(block, 0, size);
  const sigma = fround(fround(spread * squares) / size);
  for (let group = 0; group < groups; group++) {
    const own = weights.subarray(width * group, width * (group + 1));
    if (importance !== undefined) {
      weigh(block, importance, width * group, sigma, own, width);
    } else {
      const base =
        plain.absolute === true
          ? 0
          : fround(sqrt(fround(sumSquares(block, width * group, width) / width)));
      for (let i = 0; i < width; i++) {
        own[i] = base + abs(block[width * group + i] ?? 0);
      }
    }
    sums[group] = sumValues(own, width);
  }
  fitAffine(groups, width, importance === undefined ? plain : weighted);
  const [ownScales, ownMinima] = [scales.subarray(0, groups), minima.subarray(0, groups)];
  if (importance !== undefined) {
    const scale = fitPositive(ownScales, most, scaleNumbers, sums);
    const minimum = fitPositive(ownMinima, most, minimumNumbers, sums);
    return [numberToHalf(scale), numberToHalf(minimum)];
  }
  return [shareOut(ownScales, most, scaleNumbers), shareOut(ownMinima, most, minimumNumbers)];
}

/** Integers up to `most` for scales, the greatest of them `most`; bits of what they count. */
function shareOut(fitted: Float32Array, most: number, into: Uint8Array): number {
  const greatest = fitted.reduce((a, b) => (b > a ? b : a), 0);
  const inverse = greatest > 0 ? fround(most / greatest) : 0;
  for (let i = 0; i < fitted.length; i++) {
    into[i] = Math.min(most, nearest(fround(inverse * (fitted[i] ?? 0))) & 255);
  }
  return numberToHalf(fround(greatest / most));
}

/** Rounds `block` again with the scales as stored. */
function roundAffine(
  width: number,
  most: number,
  [scaleBits, minimumBits]: readonly [number, number],
): void {
  const [unit, minimumUnit] = [halfToNumber(scaleBits), halfToNumber(minimumBits)];
  for (let at = 0; at < size; at += width) {
    const scale = fround(unit * (scaleNumbers[at / width] ?? 0));
    if (scale !== 0) {
      const minimum = fround(minimumUnit * (minimumNumbers[at / width] ?? 0));
      for (let i = at; i < at + width; i++) {
        const moved = fround(fround((block[i] ?? 0) + minimum) / scale);
        numbers[i] = clamp(nearest(moved), 0, most);
      }
    }
  }
}

/** Two bits of each number: 32 bytes for each half of the block. */
function storePairs(out: DataView, at: number): void {
  for (let i = 0; i < 64; i++) {
    const from = 128 * (i >> 5) + (i & 31);
    let byte = 0;
    for (let k = 0; k < 4; k++) {
      byte |= ((numbers[from + 32 * k] ?? 0) & 3) << (2 * k);
    }
    out.setUint8(at + i, byte);
  }
}

/** Stores the low four bits; in each run of 64 values, the first and last 32 share bytes. */
function storeNibbles(out: DataView, at: number): void {
  for (let i = 0; i < 128; i++) {
    const from = 64 * (i >> 5) + (i & 31);
    out.setUint8(at + i, ((numbers[from] ?? 0) & 15) | (((numbers[from + 32] ?? 0) & 15) << 4));
  }
}

/** Stores the codes of a Q2_K block; the functions below do the same for the type in their name. */
export function storeQ2K(out: DataView, at: number): void {
  storePairs(out, at + 16);
}

const afterwards = { from: -0.9, step: 0.05, steps: 36 };

const formatQ2: AffineFormat = {
  width: 16,
  most: 15,
  plain: { most: 3, from: -0.5, step: 0.1, steps: 15, absolute: true },
  weighted: { most: 3, ...afterwards },
  spread: 1,
};

export const quantizeQ2K = quantizeByBlocks(84, (out, at, importance) => {
  const bits = fitGroups(formatQ2, importance);
  roundAffine(16, 3, bits);
  for (let i = 0; i < 16; i++) {
    out.setUint8(at + i, (scaleNumbers[i] ?? 0) | ((minimumNumbers[i] ?? 0) << 4));
  }
  storeQ2K(out, at);
  out.setUint16(at + 80, bits[0], true);
  out.setUint16(at + 82, bits[1], true);
});

/** Scales and minima of six bits in twelve bytes. */
function storeSixBits(out: DataView, at: number): void {
  for (let i = 0; i < 4; i++) {
    const [scale, minimum] = [scaleNumbers[i] ?? 0, minimumNumbers[i] ?? 0];
    const [scale2, minimum2] = [scaleNumbers[i + 4] ?? 0, minimumNumbers[i + 4] ?? 0];
    out.setUint8(at + i, scale | ((scale2 >> 4) << 6));
    out.setUint8(at + 4 + i, minimum | ((minimum2 >> 4) << 6));
    out.setUint8(at + 8 + i, (scale2 & 15) | ((minimum2 & 15) << 4));
  }
}

/** Q4_K and Q5_K. */
function withSixBits(bits: 4 | 5, plain: Omit<AffineSearch, 'most'>): RowQuantizer {
  const most = 2 ** bits - 1;
  const format: AffineFormat = {
    width: 32,
    most: 63,
    plain: { most, ...plain },
    weighted: { most, ...afterwards },
    spread: 2,
  };
  return quantizeByBlocks(bits === 4 ? 144 : 176, (out, at, importance) => {
    const halves = fitGroups(format, importance);
    roundAffine(32, most, halves);
    out.setUint16(at, halves[0], true);
    out.setUint16(at + 2, halves[1], true);
    storeSixBits(out, at + 4);
    (bits === 4 ? storeQ4K : storeQ5K)(out, at);
  });
}

export function storeQ4K(out: DataView, at: number): void {
  storeNibbles(out, at + 16);
}

export function storeQ5K(out: DataView, at: number): void {
  storeHighBits(out, at + 16, 4);
  storeNibbles(out, at + 48);
}

/** Stores one bit per value, starting at bit `from`: byte i has the bits of values i, i + 32, … */
function storeHighBits(out: DataView, at: number, from: number): void {
  for (let i = 0; i < 32; i++) {
    let byte = 0;
    for (let k = 0; k < 8; k++) {
      byte |= (((numbers[32 * k + i] ?? 0) >> from) & 1) << k;
    }
    out.setUint8(at + i, byte);
  }
}

export const quantizeQ4K = withSixBits(4, { from: -1, step: 0.1, steps: 20 });
export const quantizeQ5K = withSixBits(5, { from: -0.5, step: 0.1, steps: 15 });

/** Rounds `block` again with the signed scales as stored; codes are stored with `most` added. */
function roundSymmetric(unit: number, offset: number, most: number): void {
  for (let at = 0; at < size; at += 16) {
    const scale = fround(unit * ((scaleNumbers[at / 16] ?? 0) - offset));
    if (scale !== 0) {
      for (let i = at; i < at + 16; i++) {
        numbers[i] = clamp(nearest(fround((block[i] ?? 0) / scale)), -most, most - 1) + most;
      }
    }
  }
}

/** The scale of greatest size, with its sign. */
function greatestScale(): number {
  return scales.reduce((a, b) => (abs(b) > abs(a) ? b : a), 0);
}

export const quantizeQ3K = quantizeByBlocks(110, (out, at, importance) => {
  let half: number;
  if (importance === undefined) {
    for (let group = 0; group < 16; group++) {
      scales[group] = fitStepwise({ x: block, at: 16 * group, count: 16 }, 4, numbers);
    }
    const greatest = greatestScale();
    const inverse = greatest === 0 ? 0 : fround(-32 / greatest);
    for (let group = 0; group < 16; group++) {
      // A block of zeros stores no scales, not even 32, the code of 0.
      const number = nearest(fround(inverse * (scales[group] ?? 0)));
      scaleNumbers[group] = greatest === 0 ? 0 : clamp(number, -32, 31) + 32;
    }
    half = greatest === 0 ? 0 : numberToHalf(fround(1 / inverse));
  } else {
    const spread = fround(fround(2 * sumSquares(block, 0, size)) / size);
    for (let group = 0; group < 16; group++) {
      const own = weights.subarray(16 * group, 16 * (group + 1));
      weigh(block, importance, 16 * group, spread, own, 16);
      sums[group] = sumValues(own, 16);
    }
    fitSymmetric(16, 16, 4);
    half = numberToHalf(fitScales(16, 32));
  }
  roundSymmetric(halfToNumber(half), 32, 4);
  storeQ3K(out, at);
  for (let i = 0; i < 8; i++) {
    const [low, high] = [scaleNumbers[i] ?? 0, scaleNumbers[i + 8] ?? 0];
    out.setUint8(at + 96 + i, (low & 15) | ((high & 15) << 4));
  }
  for (let i = 0; i < 4; i++) {
    let byte = 0;
    for (let k = 0; k < 4; k++) {
      byte |= ((scaleNumbers[4 * k + i] ?? 0) >> 4) << (2 * k);
    }
    out.setUint8(at + 104 + i, byte);
  }
  out.setUint16(at + 108, half, true);
});

export function storeQ3K(out: DataView, at: number): void {
  storeHighBits(out, at, 2);
  storePairs(out, at + 32);
}

export const quantizeQ6K = quantizeByBlocks(210, (out, at, importance) => {
  for (let i = 0; i < size; i++) {
    weights[i] = importance === undefined ? (block[i] ?? 0) ** 2 : (importance.numbers[i] ?? 0);
  }
  fitSymmetric(16, 16, 32);
  const greatest = greatestScale();
  if (abs(greatest) < zeroBelow) {
    for (let i = 0; i < 210; i++) {
      out.setUint8(at + i, 0);
    }
    return;
  }
  const inverse = fround(-128 / greatest);
  const half = numberToHalf(fround(1 / inverse));
  for (let group = 0; group < 16; group++) {
    const scale = Math.min(127, nearest(fround(inverse * (scales[group] ?? 0))));
    scaleNumbers[group] = scale + 128;
    out.setInt8(at + 192 + group, scale);
  }
  roundSymmetric(halfToNumber(half), 128, 32);
  storeQ6K(out, at);
  out.setUint16(at + 208, half, true);
});

export function storeQ6K(out: DataView, at: number): void {
  for (let i = 0; i < 64; i++) {
    const from = 128 * (i >> 5) + (i & 31);
    const [a, b, c, d] = [0, 32, 64, 96].map((k) => numbers[from + k] ?? 0) as [
      number,
      number,
      number,
      number,
    ];
    const low = at + 64 * (i >> 5) + (i & 31);
    out.setUint8(low, (a & 15) | ((c & 15) << 4));
    out.setUint8(low + 32, (b & 15) | ((d & 15) << 4));
    out.setUint8(at + 128 + i, (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6));
  }
}
