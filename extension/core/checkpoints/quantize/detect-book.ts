/**
 * Detects weights that were quantized to few values that are not equally spaced and are stored as floats: values of a
 * code book times a scale per group, or 8-bit floats times a scale.
 */
import { codeBook, e2m1Values } from '../code-books';
import type { BookDType } from '../ggml-types';
import { fitsAlmostAll, leastEvidence, roundingError, significantBits } from './detect-grid';

/** Values that the weights of a group are multiples of. */
interface Book {
  readonly type: BookDType;
  /** Number of weights that share a scale. */
  readonly width: number;
  /** Different numbers, smallest magnitudes first. */
  readonly values: readonly number[];
  /** True if scales are powers of two. */
  readonly hasBinaryScales?: boolean;
  /** True if an even number of each eight weights is negative. */
  readonly hasEvenSigns?: boolean;
}

/** Significant bits of a float32. */
const float32Bits = 24;

const byMagnitude = (values: Iterable<number>): number[] =>
  [...new Set(values)].sort((a, b) => Math.abs(a) - Math.abs(b));
const withNegatives = (values: Iterable<number>): number[] =>
  byMagnitude([...values].flatMap((value) => [value, -value]));

const fp4 = byMagnitude(e2m1Values);
const [iq3xxs, iq3s, iq2] = (['IQ3_XXS', 'IQ3_S', 'IQ2_XXS'] as const).map((name) =>
  withNegatives(codeBook(name).values),
) as [number[], number[], number[]];
/** Codes of IQ1 are moved by an eighth, up or down. */
const iq1 = byMagnitude([...codeBook('IQ1_S').values].map((value) => 8 * value + 1));

/** Largest groups first, because each half of a group also fits. */
const books: readonly Book[] = [
  { type: 'MXFP4', width: 32, values: fp4, hasBinaryScales: true },
  { type: 'NVFP4', width: 16, values: fp4 },
  { type: 'IQ3_XXS', width: 32, values: iq3xxs },
  { type: 'IQ3_S', width: 32, values: iq3s },
  { type: 'IQ2_XXS', width: 32, values: iq2 },
  { type: 'IQ2_XS', width: 16, values: iq2, hasEvenSigns: true },
  { type: 'IQ2_S', width: 16, values: iq2 },
  { type: 'IQ1_S', width: 32, values: iq1 },
  { type: 'IQ1_M', width: 8, values: iq1 },
];

/**
 * Returns the type of GGUF whose code book rows of weights are multiples of, or undefined if there is none.
 * @param weights rows of `length` numbers, as stored
 */
export function detectBook(weights: Float32Array, length: number): BookDType | undefined {
  const bits = significantBits(weights);
  return books.find(
    (book) =>
      length % book.width === 0 &&
      // Multiples of a power of two are not rounded, and have few bits.
      matches(weights, book, book.hasBinaryScales === true ? float32Bits : bits),
  )?.type;
}

/** True if almost all groups fit, and all values of the book occur: weights of fewer levels fit many books. */
function matches(weights: Float32Array, book: Book, bits: number): boolean {
  const { width, values } = book;
  const used = new Set<number>();
  const isFit = fitsAlmostAll(weights.length / width, (group) => {
    const found = usedValues(weights.subarray(group * width, (group + 1) * width), book, bits);
    for (const value of found === 'unknown' ? [] : (found ?? [])) {
      used.add(value);
    }
    return found;
  });
  return isFit && used.size === values.length;
}

/** Returns the values of a book that a group has, undefined if it fits none, or unknown if its values are too few. */
function usedValues(
  group: Float32Array,
  { values, hasBinaryScales, hasEvenSigns }: Book,
  bits: number,
): readonly number[] | undefined | 'unknown' {
  const weights = [...new Set(group)];
  const extreme = weights.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  if (!Number.isFinite(extreme)) {
    return undefined;
  }
  const inner = weights.filter((weight) => weight !== 0 && Math.abs(weight) !== Math.abs(extreme));
  if (inner.length < 2) {
    return 'unknown';
  }
  if (hasEvenSigns === true && !areSignsEven(group)) {
    return undefined;
  }
  const largest = Math.abs(values.at(-1) ?? 0);
  const needed = leastEvidence + Math.log2(values.length);
  for (const value of values) {
    const unit = extreme / value;
    if (value === 0 || (hasBinaryScales === true && !Number.isInteger(Math.log2(Math.abs(unit))))) {
      continue;
    }
    const extremeError = roundingError(extreme, bits);
    const found: number[] = [];
    let evidence = 0;
    for (const weight of weights) {
      const place = weight / unit;
      const error = roundingError(weight, bits) + Math.abs(weight / extreme) * extremeError;
      const tolerance = error / Math.abs(unit);
      const nearest = values.find((one) => Math.abs(place - one) <= tolerance * 1.001);
      if (nearest === undefined) {
        break;
      }
      found.push(nearest);
      if (inner.includes(weight)) {
        const chance = (tolerance * values.length) / largest + Number.EPSILON;
        evidence -= Math.log2(Math.min(1, chance));
      }
    }
    if (found.length === weights.length && evidence >= needed) {
      return found;
    }
  }
  return undefined;
}

const signsWidth = 8;

function areSignsEven(group: Float32Array): boolean {
  for (let at = 0; at < group.length; at += signsWidth) {
    const negative = group.subarray(at, at + signsWidth).filter((weight) => weight < 0);
    if (negative.length % 2 !== 0) {
      return false;
    }
  }
  return true;
}

/** Number of weights of a row that surely share a scale: one for 128 × 128 weights, a row, or a tensor is common. */
const scaledWidth = 128;
/** Smallest normal number of float16; smaller ones have fewer bits. */
const leastNormal = 2 ** -14;
/** Magnitudes of a group that are enough to be sure that its significands repeat. */
const leastMagnitudes = 16;
/** Significands of 8-bit floats. */
const float8Significands = { E5M2: 4, E4M3: 8 } as const;

/**
 * Returns the type of 8-bit floats that rows of weights have been, times a scale, or undefined. A number times a scale is
 * rounded by its significand alone, so the stored significands of a group are as few as those of the type.
 * @param weights rows of `length` numbers, as stored
 */
export function detectFloat8(
  weights: Float32Array,
  length: number,
): keyof typeof float8Significands | undefined {
  const perRow = Math.ceil(length / scaledWidth);
  let most = 0;
  const isFloat8 = fitsAlmostAll((weights.length / length) * perRow, (group) => {
    const row = Math.floor(group / perRow) * length;
    const at = row + (group % perRow) * scaledWidth;
    const own = weights.subarray(at, Math.min(at + scaledWidth, row + length));
    const magnitudes = new Set(own.map(Math.abs).filter((weight) => weight >= leastNormal));
    if (magnitudes.size < leastMagnitudes) {
      return 'unknown';
    }
    const significands = new Set([...magnitudes].map(significand));
    if (significands.size > float8Significands.E4M3) {
      return undefined;
    }
    most = Math.max(most, significands.size);
    return significands;
  });
  if (!isFloat8) {
    return undefined;
  }
  return most > float8Significands.E5M2 ? 'E4M3' : most > 2 ? 'E5M2' : undefined;
}

/** The significand of a positive number, in [1, 2). */
const significand = (weight: number): number => weight / 2 ** Math.floor(Math.log2(weight));
