/** Which whole numbers stand for the weights of a block. */
export interface BlockGrid {
  readonly bits: 4 | 8;
  /** Weights that share a scale, along the inputs: a power of two from 16. */
  readonly blockSize: number;
  /** Whether a block has a zero of its own; else it is 2^(bits − 1). */
  readonly isAsymmetric: boolean;
  /** Whether scales are searched for the least squared error; else they span the block. */
  readonly searches: boolean;
}

/** q stands for (q − zero) · scale. */
export interface BlockScale {
  readonly scale: number;
  readonly zero: number;
}

/** Shares of a block's range that the search tries, 1 down to 0.5. */
const shares = Array.from({ length: 26 }, (_, i) => 1 - i / 50);

/**
 * Scale and zero of a block: numbers `start`, `start + step`, … of which there are `count`. Without
 * search no weight is further from its number than half a scale. With it, ranges are narrowed to
 * the least Σ importance·(w − w′)²; the symmetric grid then also tries its longer, negative side.
 * @param importance of each weight of the block; 1 when absent
 */
export function fitScale(
  grid: BlockGrid,
  weights: Float32Array,
  start: number,
  count: number,
  step: number,
  importance?: ArrayLike<number>,
): BlockScale {
  let [low, high] = [0, 0];
  for (let i = 0; i < count; i++) {
    const x = weights[start + i * step] ?? 0;
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  const whole = spanned(grid, low, high, 1);
  if (!grid.searches || whole.scale === 0) {
    return whole;
  }
  let best = whole;
  let least = Number.POSITIVE_INFINITY;
  const attempt = (candidate: BlockScale): void => {
    const error = squaredError(grid, candidate, least, weights, start, count, step, importance);
    if (error < least) {
      least = error;
      best = candidate;
    }
  };
  for (const share of shares) {
    attempt(spanned(grid, low, high, share));
    if (!grid.isAsymmetric) {
      attempt(onNegativeSide(grid, low, high, share));
    }
  }
  return best;
}

/** The whole number that stands for a weight. */
export function quantize(bits: 4 | 8, weight: number, scale: number, zero: number): number {
  if (scale === 0) {
    return zero;
  }
  const q = Math.round(weight / scale) + zero;
  const most = 2 ** bits - 1;
  return q < 0 ? 0 : q > most ? most : q;
}

/** A grid over `share` of the range. Scales are those of float32, as they are stored. */
function spanned(grid: BlockGrid, low: number, high: number, share: number): BlockScale {
  const half = 2 ** (grid.bits - 1);
  if (!grid.isAsymmetric) {
    return { scale: Math.fround((Math.max(-low, high) * share) / (half - 1)), zero: half };
  }
  const scale = Math.fround(((high - low) * share) / (2 * half - 1));
  const zero = scale === 0 ? 0 : Math.round((-low * share) / scale);
  return { scale, zero: Math.min(zero, 2 * half - 1) };
}

/** A symmetric grid whose lowest number, which has no counterpart, stands for the largest weight. */
function onNegativeSide(grid: BlockGrid, low: number, high: number, share: number): BlockScale {
  const half = 2 ** (grid.bits - 1);
  const largest = high > -low ? high : low;
  return { scale: Math.fround((-largest * share) / half), zero: half };
}

/** Σ importance·(w − w′)², or as much of it as is not below `limit`. */
function squaredError(
  { bits }: BlockGrid,
  { scale, zero }: BlockScale,
  limit: number,
  weights: Float32Array,
  start: number,
  count: number,
  step: number,
  importance: ArrayLike<number> | undefined,
): number {
  const inverse = 1 / scale;
  const [least, most] = [-zero, 2 ** bits - 1 - zero];
  let sum = 0;
  for (let i = 0; i < count && sum < limit; i++) {
    const x = weights[start + i * step] ?? 0;
    let q = Math.round(x * inverse);
    q = q < least ? least : q > most ? most : q;
    const error = x - q * scale;
    sum += error * error * (importance?.[i] ?? 1);
  }
  return sum;
}
