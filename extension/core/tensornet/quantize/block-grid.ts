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

/** Shares of a block's range that the search tries; more of them lower errors by less than 0.1 %. */
const shares = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6];

/** A block that is being fitted, its numbers next to each other, and what an error of each costs. */
let values = new Float64Array(256);
let costs = new Float64Array(256);

/**
 * Scale and zero of a block: numbers `start`, `start + step`, … of which there are `count`. Without
 * search no weight is further from its number than half a scale. With it, the least
 * Σ importance·(w − w′)² is sought over narrowed ranges, each with the scale that fits its whole numbers
 * best (Σ w·q / Σ q², weighted); the symmetric grid then also tries its longer, negative side.
 * @param importance of each weight of the block; 1 when absent
 */
export function fitScale(
  grid: BlockGrid,
  weights: Float32Array,
  start: number,
  count: number,
  step: number,
  importance?: Float64Array,
): BlockScale {
  const [low, high] = take(weights, start, count, step, importance);
  const whole = spanned(grid, low, high, 1);
  if (!grid.searches || whole.scale === 0) {
    return whole;
  }
  let best = whole;
  // The squared error is Σ w² less this.
  let most = Number.NEGATIVE_INFINITY;
  const attempt = (candidate: BlockScale): void => {
    const { scale, explained } = refit(grid.bits, candidate, count);
    if (explained > most) {
      most = explained;
      best = { scale, zero: candidate.zero };
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

/** Takes the numbers of a block and what their errors cost; the least and greatest of them and 0. */
function take(
  weights: Float32Array,
  start: number,
  count: number,
  step: number,
  importance: Float64Array | undefined,
): readonly [number, number] {
  if (values.length < count) {
    [values, costs] = [new Float64Array(count), new Float64Array(count)];
  }
  let [low, high] = [0, 0];
  for (let i = 0; i < count; i++) {
    const x = weights[start + i * step] ?? 0;
    values[i] = x;
    costs[i] = importance === undefined ? 1 : (importance[i] ?? 0);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  return [low, high];
}

/**
 * The scale that fits the whole numbers nearest to a block's weights best, and by how much that lowers the
 * weighted sum of squares from that of zeros.
 */
function refit(
  bits: 4 | 8,
  { scale, zero }: BlockScale,
  count: number,
): { readonly scale: number; readonly explained: number } {
  const [numbers, weights, inverse, most] = [values, costs, 1 / scale, 2 ** bits - 1];
  let along = 0;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const x = numbers[i] ?? 0;
    const place = x * inverse + zero + 0.5;
    const q = (place < 0 ? 0 : place > most ? most : Math.trunc(place)) - zero;
    const weighed = q * (weights[i] ?? 0);
    along += weighed * x;
    squares += weighed * q;
  }
  return squares > 0
    ? { scale: Math.fround(along / squares), explained: along ** 2 / squares }
    : { scale, explained: 0 };
}

/** The whole number that stands for a weight. */
export function quantize(bits: 4 | 8, weight: number, scale: number, zero: number): number {
  if (scale === 0) {
    return zero;
  }
  const q = Math.round(weight / scale) + zero;
  const most = (1 << bits) - 1;
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
