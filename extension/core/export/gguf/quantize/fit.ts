/**
 * The searches for scales that llama.cpp's quantizers share (ggml-quants.c), in its order of float32 operations, so
 * that a build of it without fused multiply-add gives the same bits. All arrays are scratch of the caller.
 */
const { fround, abs } = Math;

/** Groups whose numbers are all smaller count as zero. */
export const zeroBelow = fround(1e-15);
const oneTenth = fround(0.1);
const rounder = 12_582_912;
const single = new Float32Array(1);
const pattern = new Int32Array(single.buffer);

/** The nearest whole number of a float32 below 2²², ties to even. */
export function nearest(value: number): number {
  return fround(value + rounder) - rounder;
}

/** The same for any float32: what the bits of larger ones give, as in the reference. */
function nearestOfAny(value: number): number {
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

/** Of a run the number of greatest size, with its sign. */
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

/**
 * `make_qx_quants`: a scale for integers −most … most − 1, which are stored with `most` added.
 * @param weights of the numbers of the run; their squares when absent
 */
export function fitSymmetric(
  { x, at, count }: Run,
  most: number,
  numbers: Uint8Array,
  weights?: Float32Array,
  weightsAt = 0,
): number {
  const value = extreme({ x, at, count });
  if (abs(value) < zeroBelow) {
    numbers.fill(0, at, at + count);
    return 0;
  }
  let scale = 0;
  let best = 0;
  for (let step = 0; step <= 18; step++) {
    // The plain scale first, then nine steps to either side.
    const offset = step === 0 ? 0 : step <= 9 ? step - 10 : step - 9;
    const inverse = fround(-fround(most + fround(oneTenth * offset)) / value);
    let sumProducts = 0;
    let sumSquares = 0;
    for (let i = 0; i < count; i++) {
      const one = x[at + i] ?? 0;
      const l = clamp(fround(fround(inverse * one) + rounder) - rounder, -most, most - 1);
      const weight = weights === undefined ? fround(one * one) : (weights[weightsAt + i] ?? 0);
      if (step === 0) {
        numbers[at + i] = l + most;
      }
      sumProducts = fround(sumProducts + fround(fround(weight * one) * l));
      sumSquares = fround(sumSquares + fround(fround(weight * l) * l));
    }
    if (step === 0) {
      scale = sumSquares === 0 ? 0 : fround(sumProducts / sumSquares);
      best = fround(scale * sumProducts);
    } else if (sumSquares > 0 && fround(sumProducts * sumProducts) > fround(best * sumSquares)) {
      for (let i = at; i < at + count; i++) {
        numbers[i] = most + clamp(nearest(fround(inverse * (x[i] ?? 0))), -most, most - 1);
      }
      scale = fround(sumProducts / sumSquares);
      best = fround(scale * sumProducts);
    }
  }
  return scale;
}

/** `make_q3_quants`: as {@link fitSymmetric}, but number after number is moved while that helps. */
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
        const next = clamp(nearestOfAny(fround(fround(one * squares) / products)), -most, most - 1);
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

/** How {@link fitAffine} searches. */
export interface AffineSearch {
  /** Greatest whole number. */
  readonly most: number;
  /** What is added to it first, and from step to step. */
  readonly from: number;
  readonly step: number;
  readonly steps: number;
  /** Errors count by their size, not by their square. */
  readonly absolute?: boolean;
}

const trial = new Uint8Array(32);

/**
 * `make_qkx2_quants` and `make_qkx3_quants`: a scale, which is returned, and a minimum, whose negative goes to
 * `minima[index]`, for integers 0 … most.
 */
export function fitAffine(
  { x, at, count }: Run,
  { most, from, step, steps, absolute = false }: AffineSearch,
  weights: Float32Array,
  numbers: Uint8Array,
  minima: Float32Array,
  index: number,
): number {
  let minimum = x[at] ?? 0;
  let maximum = minimum;
  let sumWeights = weights[0] ?? 0;
  let sumX = fround(sumWeights * minimum);
  for (let i = 1; i < count; i++) {
    const one = x[at + i] ?? 0;
    const weight = weights[i] ?? 0;
    minimum = one < minimum ? one : minimum;
    maximum = one > maximum ? one : maximum;
    sumWeights = fround(sumWeights + weight);
    sumX = fround(sumX + fround(weight * one));
  }
  minimum = minimum > 0 ? 0 : minimum;
  if (maximum <= minimum) {
    numbers.fill(0, at, at + count);
    minima[index] = -minimum;
    return 0;
  }
  let inverse = fround(most / fround(maximum - minimum));
  let scale = fround(1 / inverse);
  let best = 0;
  for (let i = 0; i < count; i++) {
    const one = x[at + i] ?? 0;
    const l = clamp(nearest(fround(inverse * fround(one - minimum))), 0, most);
    numbers[at + i] = l;
    const difference = fround(fround(fround(scale * l) + minimum) - one);
    const error = absolute ? abs(difference) : fround(difference * difference);
    best = fround(best + fround((weights[i] ?? 0) * error));
  }
  const first = fround(from);
  const between = fround(step);
  for (let is = 0; is <= steps; is++) {
    const range = fround(maximum - minimum);
    inverse = fround(fround(fround(first + fround(between * is)) + most) / range);
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < count; i++) {
      const one = x[at + i] ?? 0;
      const l = clamp(fround(fround(inverse * fround(one - minimum)) + rounder) - rounder, 0, most);
      trial[i] = l;
      const weighted = fround((weights[i] ?? 0) * l);
      sumL = fround(sumL + weighted);
      sumL2 = fround(sumL2 + fround(weighted * l));
      sumXL = fround(sumXL + fround(weighted * one));
    }
    const determinant = fround(fround(sumWeights * sumL2) - fround(sumL * sumL));
    if (determinant > 0) {
      let newScale = fround(fround(fround(sumWeights * sumXL) - fround(sumX * sumL)) / determinant);
      let newMinimum = fround(fround(fround(sumL2 * sumX) - fround(sumL * sumXL)) / determinant);
      if (newMinimum > 0) {
        newMinimum = 0;
        newScale = fround(sumXL / sumL2);
      }
      let sum = 0;
      // Errors only add up.
      for (let i = 0; i < count && sum < best; i++) {
        const fitted = fround(fround(newScale * (trial[i] ?? 0)) + newMinimum);
        const difference = fround(fitted - (x[at + i] ?? 0));
        const error = absolute ? abs(difference) : fround(difference * difference);
        sum = fround(sum + fround((weights[i] ?? 0) * error));
      }
      if (sum < best) {
        for (let i = 0; i < count; i++) {
          numbers[at + i] = trial[i] ?? 0;
        }
        best = sum;
        scale = newScale;
        minimum = newMinimum;
      }
    }
  }
  minima[index] = -minimum;
  return scale;
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
        const next = Math.min(most, nearestOfAny(fround(fround(one * squares) / products)));
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
