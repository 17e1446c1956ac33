// Scale searches of llama.cpp's quantizers (ggml-quants.c), for four groups of numbers at a time. Each lane performs its
// float32 operations in the order of the reference, so the results equal those of a build without fused multiply-add,
// bit for bit. AssemblyScript; node scripts/generate.mjs compiles it to search-bytes.ts.

/** Groups whose values are all below this count as zero. */
const zeroBelow: f32 = 1e-15;
/** Adding and subtracting this rounds to integers, ties to even. */
const rounder: f32 = 12582912;

/** Address of one block: up to 256 values and their weights (float32) and integers (bytes), in groups of equal width. */
export const block: usize = 0;
export const weights: usize = block + 1024;
export const numbers: usize = weights + 1024;
/** Addresses for up to 16 groups: scales, minima and sums of weights (float32), and quantized scales (bytes). */
export const scales: usize = numbers + 256;
export const minima: usize = scales + 64;
export const sums: usize = minima + 64;
export const scaleNumbers: usize = sums + 64;
/** Addresses of a codebook's rounding boundaries and the steps at them: 15 float32 each. */
export const borders: usize = scaleNumbers + 16;
export const growths: usize = borders + 60;

/** Addresses for four groups, [value, lane] float32: values, weights, and integers (current try and best). */
const X: usize = 4096;
const W: usize = X + 512;
const TRIED: usize = W + 512;
const BEST: usize = TRIED + 512;

@inline
function splat(value: f32): v128 {
  return f32x4.splat(value);
}

@inline
function pick(mask: v128, one: v128, other: v128): v128 {
  return v128.bitselect(one, other, mask);
}

@inline
function rounded(value: v128): v128 {
  return f32x4.sub(f32x4.add(value, splat(rounder)), splat(rounder));
}

@inline
function clamped(value: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(value, low), high);
}

/** Number i of four groups of `width` becomes lane 0 to 3 of vector i. */
function gather(from: usize, width: i32, to: usize): void {
  const stride = <usize>width << 2;
  for (let i = 0; i < width; i++) {
    const at = from + (<usize>i << 2);
    let four = v128.load32_zero(at);
    four = v128.load_lane<f32>(at + stride, four, 1);
    four = v128.load_lane<f32>(at + 2 * stride, four, 2);
    four = v128.load_lane<f32>(at + 3 * stride, four, 3);
    v128.store(to + (<usize>i << 4), four);
  }
}

/** The best integers of `count` lanes, `added` to each, as bytes of their groups. */
function scatter(width: i32, count: i32, added: f32, to: usize): void {
  for (let lane = 0; lane < count; lane++) {
    for (let i = 0; i < width; i++) {
      const number = load<f32>(BEST + (<usize>i << 4) + (<usize>lane << 2)) + added;
      store<u8>(to + lane * width + i, <u8>number);
    }
  }
}

function keepTried(width: i32, mask: v128): void {
  for (let at: usize = 0; at < <usize>width << 4; at += 16) {
    v128.store(BEST + at, pick(mask, v128.load(TRIED + at), v128.load(BEST + at)));
  }
}

function storeLanes(value: v128, count: i32, to: usize): void {
  store<f32>(to, f32x4.extract_lane(value, 0));
  if (count > 1) store<f32>(to + 4, f32x4.extract_lane(value, 1));
  if (count > 2) store<f32>(to + 8, f32x4.extract_lane(value, 2));
  if (count > 3) store<f32>(to + 12, f32x4.extract_lane(value, 3));
}

/** The number of greatest size of each lane, with its sign. */
function extremes(width: i32): v128 {
  let size = splat(0);
  let value = splat(0);
  for (let i = 0; i < width; i++) {
    const one = v128.load(X + (<usize>i << 4));
    const isGreater = f32x4.gt(f32x4.abs(one), size);
    size = pick(isGreater, f32x4.abs(one), size);
    value = pick(isGreater, one, value);
  }
  return value;
}

/**
 * `make_qkx2_quants` and `make_qkx3_quants`: a scale and a minimum, whose negative is stored, for integers 0 … most.
 * @param first what is added to `most` first, and `between` from step to step
 * @param absolute errors count by their size, not by their square
 */
export function fitAffine(
  groups: i32,
  width: i32,
  most: f32,
  first: f32,
  between: f32,
  steps: i32,
  absolute: bool,
): void {
  for (let group = 0; group < groups; group += 4) {
    const count = min(4, groups - group);
    const at = <usize>(group * width);
    gather(block + (at << 2), width, X);
    gather(weights + (at << 2), width, W);
    fitAffineToFour(width, most, first, between, steps, absolute);
    scatter(width, count, 0, numbers + at);
    storeLanes(scaleOfFour, count, scales + (<usize>group << 2));
    storeLanes(f32x4.neg(minimumOfFour), count, minima + (<usize>group << 2));
  }
}

let scaleOfFour: v128 = i32x4.splat(0);
let minimumOfFour: v128 = i32x4.splat(0);

@inline
function deviation(difference: v128, absolute: bool): v128 {
  return absolute ? f32x4.abs(difference) : f32x4.mul(difference, difference);
}

function fitAffineToFour(width: i32, most: f32, first: f32, between: f32, steps: i32, absolute: bool): void {
  const end = <usize>width << 4;
  const zero = splat(0);
  const highest = splat(most);
  let minimum = v128.load(X);
  let maximum = minimum;
  let sumWeights = v128.load(W);
  let sumX = f32x4.mul(sumWeights, minimum);
  for (let at: usize = 16; at < end; at += 16) {
    const one = v128.load(X + at);
    const weight = v128.load(W + at);
    minimum = pick(f32x4.lt(one, minimum), one, minimum);
    maximum = pick(f32x4.gt(one, maximum), one, maximum);
    sumWeights = f32x4.add(sumWeights, weight);
    sumX = f32x4.add(sumX, f32x4.mul(weight, one));
  }
  minimum = pick(f32x4.gt(minimum, zero), zero, minimum);
  const isFlat = f32x4.le(maximum, minimum);
  const flatMinimum = minimum;
  let inverse = f32x4.div(highest, f32x4.sub(maximum, minimum));
  let scale = f32x4.div(splat(1), inverse);
  let best = zero;
  for (let at: usize = 0; at < end; at += 16) {
    const one = v128.load(X + at);
    const l = clamped(rounded(f32x4.mul(inverse, f32x4.sub(one, minimum))), zero, highest);
    v128.store(BEST + at, l);
    const difference = f32x4.sub(f32x4.add(f32x4.mul(scale, l), minimum), one);
    best = f32x4.add(best, f32x4.mul(v128.load(W + at), deviation(difference, absolute)));
  }
  for (let step = 0; step <= steps; step++) {
    inverse = f32x4.div(splat(first + between * <f32>step + most), f32x4.sub(maximum, minimum));
    let sumL = zero;
    let sumL2 = zero;
    let sumXL = zero;
    for (let at: usize = 0; at < end; at += 16) {
      const one = v128.load(X + at);
      const l = clamped(rounded(f32x4.mul(inverse, f32x4.sub(one, minimum))), zero, highest);
      v128.store(TRIED + at, l);
      const weighted = f32x4.mul(v128.load(W + at), l);
      sumL = f32x4.add(sumL, weighted);
      sumL2 = f32x4.add(sumL2, f32x4.mul(weighted, l));
      sumXL = f32x4.add(sumXL, f32x4.mul(weighted, one));
    }
    const determinant = f32x4.sub(f32x4.mul(sumWeights, sumL2), f32x4.mul(sumL, sumL));
    const isSolvable = f32x4.gt(determinant, zero);
    let newScale = f32x4.div(
      f32x4.sub(f32x4.mul(sumWeights, sumXL), f32x4.mul(sumX, sumL)),
      determinant,
    );
    let newMinimum = f32x4.div(
      f32x4.sub(f32x4.mul(sumL2, sumX), f32x4.mul(sumL, sumXL)),
      determinant,
    );
    const isAbove = f32x4.gt(newMinimum, zero);
    newScale = pick(isAbove, f32x4.div(sumXL, sumL2), newScale);
    newMinimum = pick(isAbove, zero, newMinimum);
    let sum = zero;
    for (let at: usize = 0; at < end; at += 16) {
      const fitted = f32x4.add(f32x4.mul(newScale, v128.load(TRIED + at)), newMinimum);
      const error = deviation(f32x4.sub(fitted, v128.load(X + at)), absolute);
      sum = f32x4.add(sum, f32x4.mul(v128.load(W + at), error));
    }
    const isBetter = v128.and(isSolvable, f32x4.lt(sum, best));
    if (v128.any_true(isBetter)) {
      keepTried(width, isBetter);
      best = pick(isBetter, sum, best);
      scale = pick(isBetter, newScale, scale);
      minimum = pick(isBetter, newMinimum, minimum);
    }
  }
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(BEST + at, pick(isFlat, zero, v128.load(BEST + at)));
  }
  scaleOfFour = pick(isFlat, zero, scale);
  minimumOfFour = pick(isFlat, flatMinimum, minimum);
}

/** `make_qx_quants`: a scale for integers −most … most − 1, which are stored with `most` added. */
export function fitSymmetric(groups: i32, width: i32, most: f32): void {
  symmetric(block, weights, numbers, scales, groups, width, most);
}

/** The same of the scales of `count` groups, by the sums of their weights; gives the scale of scales. */
export function fitScales(count: i32, most: f32): f32 {
  symmetric(scales, sums, scaleNumbers, minima, 1, count, most);
  return load<f32>(minima);
}

function symmetric(
  x: usize,
  weightsOf: usize,
  to: usize,
  fitted: usize,
  groups: i32,
  width: i32,
  most: f32,
): void {
  const end = <usize>width << 4;
  const zero = splat(0);
  for (let group = 0; group < groups; group += 4) {
    const count = min(4, groups - group);
    const from = <usize>(group * width);
    gather(x + (from << 2), width, X);
    gather(weightsOf + (from << 2), width, W);
    const value = extremes(width);
    const isZero = f32x4.lt(f32x4.abs(value), splat(zeroBelow));
    let scale = zero;
    let best = zero;
    for (let step = 0; step <= 18; step++) {
      // The plain scale first, then nine steps to either side.
      const offset = step == 0 ? 0 : step <= 9 ? step - 10 : step - 9;
      const inverse = f32x4.neg(f32x4.div(splat(most + <f32>0.1 * <f32>offset), value));
      let sumProducts = zero;
      let sumSquares = zero;
      for (let at: usize = 0; at < end; at += 16) {
        const one = v128.load(X + at);
        const weight = v128.load(W + at);
        const l = clamped(rounded(f32x4.mul(inverse, one)), splat(-most), splat(most - 1));
        v128.store(TRIED + at, l);
        sumProducts = f32x4.add(sumProducts, f32x4.mul(f32x4.mul(weight, one), l));
        sumSquares = f32x4.add(sumSquares, f32x4.mul(f32x4.mul(weight, l), l));
      }
      const better = improvedLanes(step == 0, sumProducts, sumSquares, best);
      if (v128.any_true(better)) {
        keepTried(width, better);
      }
      scale = pick(better, fittedScale(sumProducts, sumSquares), scale);
      best = pick(better, f32x4.mul(scale, sumProducts), best);
    }
    for (let at: usize = 0; at < end; at += 16) {
      v128.store(BEST + at, pick(isZero, splat(-most), v128.load(BEST + at)));
    }
    scatter(width, count, most, to + from);
    storeLanes(pick(isZero, zero, scale), count, fitted + (<usize>group << 2));
  }
}

/** Mask of the lanes for which this step's scale is better; all lanes in the first step. */
@inline
function improvedLanes(isFirst: bool, sumProducts: v128, sumSquares: v128, best: v128): v128 {
  return isFirst
    ? i32x4.splat(-1)
    : v128.and(
        f32x4.gt(sumSquares, splat(0)),
        f32x4.gt(f32x4.mul(sumProducts, sumProducts), f32x4.mul(best, sumSquares)),
      );
}

@inline
function fittedScale(sumProducts: v128, sumSquares: v128): v128 {
  const isZero = f32x4.eq(sumSquares, splat(0));
  return pick(isZero, splat(0), f32x4.div(sumProducts, sumSquares));
}

/** `quantize_row_iq4_nl_impl`: a scale for the 16 values of a code book, the lowest of them given. */
export function fitToBook(groups: i32, width: i32, lowest: f32): void {
  const end = <usize>width << 4;
  const zero = splat(0);
  for (let group = 0; group < groups; group += 4) {
    const count = min(4, groups - group);
    const from = <usize>(group * width) << 2;
    gather(block + from, width, X);
    gather(weights + from, width, W);
    const value = extremes(width);
    const isZero = f32x4.lt(f32x4.abs(value), splat(zeroBelow));
    let scale = zero;
    let best = zero;
    for (let step = -8; step <= 7; step++) {
      const isFirst = step == -8;
      const inverse = isFirst
        ? f32x4.div(splat(1), f32x4.div(f32x4.neg(value), splat(lowest)))
        : f32x4.div(splat(<f32>step + lowest), value);
      let sumProducts = zero;
      let sumSquares = zero;
      for (let at: usize = 0; at < end; at += 16) {
        const one = v128.load(X + at);
        const moved = f32x4.mul(inverse, one);
        let q = splat(lowest);
        for (let border: usize = 0; border < 60; border += 4) {
          const isPast = f32x4.ge(moved, v128.load32_splat(borders + border));
          q = f32x4.add(q, v128.and(isPast, v128.load32_splat(growths + border)));
        }
        const weighted = f32x4.mul(v128.load(W + at), q);
        sumProducts = f32x4.add(sumProducts, f32x4.mul(weighted, one));
        sumSquares = f32x4.add(sumSquares, f32x4.mul(weighted, q));
      }
      const better = improvedLanes(isFirst, sumProducts, sumSquares, best);
      const fitted = v128.and(f32x4.gt(sumSquares, zero), f32x4.div(sumProducts, sumSquares));
      scale = pick(better, fitted, scale);
      best = pick(better, f32x4.mul(scale, sumProducts), best);
    }
    storeLanes(pick(isZero, zero, scale), count, scales + (<usize>group << 2));
  }
}
