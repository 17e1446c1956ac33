/** Which integers stand for the weights of a block. */
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

/**
 * Scale and zero of a block: numbers `start`, `start + step`, … of which there are `count`. Without
 * search no weight is further from its number than half a scale. With it, the least
 * Σ importance·(w − w′)² is sought over narrowed ranges, each with the scale that fits its integers
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
  const [low, high] = fit.take(weights, start, count, step, importance);
  const half = 2 ** (grid.bits - 1);
  // Scales are those of float32, as they are stored.
  if (!grid.isAsymmetric) {
    const [wide, largest] = [Math.max(-low, high), high > -low ? high : low];
    const whole = { scale: Math.fround(wide / (half - 1)), zero: half };
    if (!grid.searches || whole.scale === 0) {
      return whole;
    }
    fit.begin(whole);
    for (const share of shares) {
      fit.attempt(grid.bits, Math.fround((wide * share) / (half - 1)), half);
      // Its lowest number, which has no counterpart, stands for the largest weight.
      fit.attempt(grid.bits, Math.fround((-largest * share) / half), half);
    }
    return fit.best;
  }
  const [wide, most] = [high - low, 2 * half - 1];
  const over = (share: number): BlockScale => {
    const scale = Math.fround((wide * share) / most);
    const zero = scale === 0 ? 0 : Math.round((-low * share) / scale);
    return { scale, zero: Math.min(zero, most) };
  };
  const whole = over(1);
  if (!grid.searches || whole.scale === 0) {
    return whole;
  }
  fit.begin(whole);
  for (const share of shares) {
    const { scale, zero } = over(share);
    fit.attempt(grid.bits, scale, zero);
  }
  return fit.best;
}

/** A block that is being fitted. It is one for all blocks, as objects made for each attempt cost as much as attempts. */
class BlockFit {
  private count = 0;
  /** Its numbers next to each other, and what an error of each costs. */
  private values = new Float64Array(256);
  private costs = new Float64Array(256);
  /** Of the best attempt: by how much it lowers the weighted sum of squares from that of zeros. */
  private explained = 0;
  private scale = 0;
  private zero = 0;

  /** The best attempt since {@link BlockFit.take}. */
  public get best(): BlockScale {
    return { scale: this.scale, zero: this.zero };
  }

  /** What is best where no attempt can be told from another, as where numbers are not finite. */
  public begin({ scale, zero }: BlockScale): void {
    [this.scale, this.zero] = [scale, zero];
  }

  /** Takes the numbers of a block and what their errors cost; the least and greatest of them and 0. */
  public take(
    weights: Float32Array,
    start: number,
    count: number,
    step: number,
    importance: Float64Array | undefined,
  ): readonly [number, number] {
    if (this.values.length < count) {
      [this.values, this.costs] = [new Float64Array(count), new Float64Array(count)];
    }
    const { values, costs } = this;
    let [low, high] = [0, 0];
    for (let i = 0; i < count; i++) {
      const x = weights[start + i * step] ?? 0;
      values[i] = x;
      costs[i] = importance === undefined ? 1 : (importance[i] ?? 0);
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    this.count = count;
    this.explained = Number.NEGATIVE_INFINITY;
    return [low, high];
  }

  /** Rounds the weights at a scale, and fits the scale that suits these integers best. */
  public attempt(bits: 4 | 8, scale: number, zero: number): void {
    const { count, values, costs } = this;
    const [inverse, most, middle] = [1 / scale, 2 ** bits - 1, zero + 0.5];
    let along = 0;
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const x = values[i] ?? 0;
      const place = x * inverse + middle;
      const q = (place < 0 ? 0 : place > most ? most : Math.trunc(place)) - zero;
      const weighed = q * (costs[i] ?? 0);
      along += weighed * x;
      squares += weighed * q;
    }
    const explained = squares > 0 ? along ** 2 / squares : 0;
    if (explained > this.explained) {
      this.explained = explained;
      this.scale = squares > 0 ? Math.fround(along / squares) : scale;
      this.zero = zero;
    }
  }
}

const fit = new BlockFit();

/** The integer that stands for a weight. */
export function quantize(bits: 4 | 8, weight: number, scale: number, zero: number): number {
  if (scale === 0) {
    return zero;
  }
  const q = Math.round(weight / scale) + zero;
  const most = (1 << bits) - 1;
  return q < 0 ? 0 : q > most ? most : q;
}
