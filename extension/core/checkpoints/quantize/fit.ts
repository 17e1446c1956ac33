/**
 * The shorter searches for scales that llama.cpp's quantizers share (ggml-quants.c), in its order of float32 operations, so
 * that a build of it without fused multiply-add gives the same bits. All arrays are scratch of the caller.
 */
const { fround, abs } = Math;

/** Groups whose values are all smaller are treated as zero. */
export const zeroBelow = fround(1e-15);
const oneTenth = fround(0.1);
const rounder = 12_582_912;
const single = new Float32Array(1);
const pattern = new Int32Array(single.buffer);

/** The nearest whole number of a float32 below 2²², ties to even. */
export function nearest(value: number): number {
  return fround(value + rounder) - rounder;
}

/** Like {@link nearest}, for any float32; larger values use the bits as the reference implementation does. */
function nearestInteger(value: number): number {
  single[0] = value + rounder;
  return ((pattern[0] ?? 0) & 0x7f_ffff) - 0x40_0000;
}

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

/** A run of numbers in an array. */
export interface Run {
  readonly x: Float32Array;
  readonly at: number;
  readonly count: number;
}

/** Value of a run with the largest magnitude, with its sign. */
export function extreme({ x, at, count }: Run): number {
  let size = 0;
  let value = 0;
  for (let i = at; i < at + count; i++) {
    const one = x[i] ?? 0;
    if (abs(one) > size) {
      size = abs(one);
      value = one;
    }
  }
  return value;
}

/** `make_q3_quants`: as `make_qx_quants`, see search.as, but number after number is moved while that helps. */
export function fitStepwise({ x, at, count }: Run, most: number, numbers: Uint8Array): number {
  const value = extreme({ x, at, count });
  if (abs(value) < zeroBelow) {
    numbers.fill(0, at, at + count);
    return 0;
  }
  const inverse = fround(-most / value);
  let sumProducts = 0;
  let sumSquares = 0;
  for (let i = at; i < at + count; i++) {
    const one = x[i] ?? 0;
    const l = clamp(nearest(fround(inverse * one)), -most, most - 1);
    const weight = fround(one * one);
    numbers[i] = l + most;
    sumProducts = fround(sumProducts + fround(fround(weight * one) * l));
    sumSquares = fround(sumSquares + fround(fround(weight * l) * l));
  }
  for (let round = 0; round < 5; round++) {
    let changed = false;
    for (let i = at; i < at + count; i++) {
      const one = x[i] ?? 0;
      const l = (numbers[i] ?? 0) - most;
      const weight = fround(one * one);
      let products = fround(sumProducts - fround(fround(weight * one) * l));
      if (products > 0) {
        let squares = fround(sumSquares - fround(fround(weight * l) * l));
        const next = clamp(
          nearestInteger(fround(fround(one * squares) / products)),
          -most,
          most - 1,
        );
        if (next !== l) {
          products = fround(products + fround(fround(weight * one) * next));
          squares = fround(squares + fround(fround(weight * next) * next));
          if (
            squares > 0 &&
            fround(fround(products * products) * sumSquares) >
              fround(fround(sumProducts * sumProducts) * squares)
          ) {
            numbers[i] = next + most;
            sumProducts = products;
            sumSquares = squares;
            changed = true;
          }
        }
      }
    }
    if (!changed) {
      break;
    }
  }
  return sumSquares > 0 ? fround(sumProducts / sumSquares) : 0;
}

/** `make_qp_quants`: a scale for integers 0 … most of numbers that are not negative. */
export function fitPositive(
  x: Float32Array,
  most: number,
  numbers: Uint8Array,
  weights: Float32Array,
): number {
  const count = x.length;
  const maximum = x.reduce((a, b) => (b > a ? b : a), 0);
  if (maximum < zeroBelow) {
    numbers.fill(0);
    return 0;
  }
  let inverse = fround(most / maximum);
  let best = 0;
  for (let step = 0; step <= 8; step++) {
    // The plain scale first, then four steps to either side.
    const offset = step === 0 ? 0 : step <= 4 ? step - 5 : step - 4;
    const tried = fround(fround(fround(oneTenth * offset) + most) / maximum);
    const scale = fround(1 / tried);
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const one = x[i] ?? 0;
      const l = nearest(fround(tried * one));
      const number = step === 0 ? l & 255 : l > most ? most : l;
      const difference = fround(one - fround(scale * number));
      sum = fround(sum + fround(fround((weights[i] ?? 0) * difference) * difference));
    }
    if (step === 0 || sum < best) {
      best = sum;
      inverse = tried;
    }
  }
  let sumProducts = 0;
  let sumSquares = 0;
  for (let i = 0; i < count; i++) {
    const one = x[i] ?? 0;
    const weight = weights[i] ?? 0;
    const l = Math.min(most, nearest(fround(inverse * one)));
    numbers[i] = l;
    sumProducts = fround(sumProducts + fround(fround(weight * one) * l));
    sumSquares = fround(sumSquares + fround(fround(weight * l) * l));
  }
  for (let round = 0; round < 5; round++) {
    let changed = false;
    for (let i = 0; i < count; i++) {
      const one = x[i] ?? 0;
      const weight = weights[i] ?? 0;
      const l = numbers[i] ?? 0;
      let products = fround(sumProducts - fround(fround(weight * one) * l));
      let squares = fround(sumSquares - fround(fround(weight * l) * l));
      if (products > 0 && squares > 0) {
        const next = Math.min(most, nearestInteger(fround(fround(one * squares) / products)));
        if (next !== l) {
          products = fround(products + fround(fround(weight * one) * next));
          squares = fround(squares + fround(fround(weight * next) * next));
          if (
            fround(fround(products * products) * sumSquares) >
            fround(fround(sumProducts * sumProducts) * squares)
          ) {
            numbers[i] = next;
            sumProducts = products;
            sumSquares = squares;
            changed = true;
          }
        }
      }
    }
    if (!changed) {
      break;
    }
  }
  return sumSquares > 0 ? fround(sumProducts / sumSquares) : 0;
}
