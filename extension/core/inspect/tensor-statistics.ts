import type { Cancellation } from '../jobs/job';
import { TensorReader } from './tensor-values';
import type { TensorPlace } from './tensor-values';

const histogramBins = 64;

/**
 * Number of values in each of the {@link histogramBins} equal parts of [low, high], both included.
 */
export interface Histogram {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** Statistics of a tensor's values. All but the counts cover finite values only. */
export interface TensorStatistics {
  readonly count: number;
  readonly zeros: number;
  readonly nan: number;
  /** Positive and negative ones. */
  readonly infinite: number;
  /** Undefined if no value is finite, as for the fields below. */
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly mean: number | undefined;
  /** Population standard deviation: root of the mean squared deviation. */
  readonly standardDeviation: number | undefined;
  /** Undefined also where the range is too narrow, or too wide, for float64 to divide it. */
  readonly histogram: Histogram | undefined;
}

/**
 * Reads a tensor twice in chunks: for range and mean, then for standard deviation and histogram.
 * @throws UserError if its values can't be read
 * @throws CancelledError
 */
export async function tensorStatistics(
  tensor: TensorPlace,
  cancellation: Cancellation,
  onBytes: (done: number, total: number) => void = () => undefined,
): Promise<TensorStatistics> {
  return TensorReader.open(tensor, cancellation, async (reader) => {
    let read = 0;
    const advance = (values: Float64Array): void => {
      read += values.length;
      const share = read / (2 * Math.max(1, elements));
      onBytes(Math.floor(share * tensor.bytes), tensor.bytes);
    };
    const elements = tensor.shape.reduce((product, size) => product * size, 1);
    const range = new Range();
    for await (const values of reader.chunks()) {
      range.add(values);
      advance(values);
    }
    const { count, zeros, nan, infinite, finite, min, max } = range;
    const counts = { count, zeros, nan, infinite };
    if (finite === 0) {
      const none = undefined;
      return {
        ...counts,
        min: none,
        max: none,
        mean: none,
        standardDeviation: none,
        histogram: none,
      };
    }
    const mean = range.sum / finite;
    const spread = new Spread(mean, min, max);
    for await (const values of reader.chunks()) {
      spread.add(values);
      advance(values);
    }
    return {
      ...counts,
      // Zero has no sign for readers: 0 is added to make -0 the other one.
      min: min + 0,
      max: max + 0,
      mean,
      standardDeviation: Math.sqrt(spread.squares / finite),
      histogram: spread.isDivisible
        ? { low: spread.low, high: spread.high, counts: [...spread.counts] }
        : undefined,
    };
  });
}

/** Range and sum of finite values; counts of the others. */
class Range {
  public count = 0;
  public zeros = 0;
  public nan = 0;
  public infinite = 0;
  public finite = 0;
  public min = Number.POSITIVE_INFINITY;
  public max = Number.NEGATIVE_INFINITY;
  public sum = 0;

  public add(values: Float64Array): void {
    let { zeros, finite, min, max } = this;
    // Summed by parts, so that rounding errors do not grow with the tensor.
    let sum = 0;
    for (const value of values) {
      if (Number.isFinite(value)) {
        finite++;
        sum += value;
        if (value === 0) zeros++;
        if (value < min) min = value;
        if (value > max) max = value;
      } else if (Number.isNaN(value)) {
        this.nan++;
      } else {
        this.infinite++;
      }
    }
    this.count += values.length;
    this.sum += sum;
    Object.assign(this, { zeros, finite, min, max });
  }
}

/** Deviations from a known mean, and the histogram as numpy counts it. */
class Spread {
  public squares = 0;
  public readonly low: number;
  public readonly high: number;
  public readonly counts = new Float64Array(histogramBins);
  readonly #edges: Float64Array;

  public constructor(
    private readonly mean: number,
    min: number,
    max: number,
  ) {
    // A single value gets a range of one around it.
    [this.low, this.high] = min === max ? [min - 0.5, max + 0.5] : [min, max];
    const step = (this.high - this.low) / histogramBins;
    this.#edges = Float64Array.from({ length: histogramBins + 1 }, (_, i) =>
      i === histogramBins ? this.high : this.low + i * step,
    );
  }

  /** True if float64 can distinguish the parts of the range. */
  public get isDivisible(): boolean {
    return this.#edges.every((edge, i) => i === 0 || edge > (this.#edges[i - 1] ?? edge));
  }

  public add(values: Float64Array): void {
    const { low, mean, counts } = this;
    const perUnit = histogramBins / (this.high - low);
    let squares = 0;
    for (const value of values) {
      if (Number.isFinite(value)) {
        squares += (value - mean) ** 2;
        const bin = this.#binOf(value, (value - low) * perUnit);
        counts[bin] = (counts[bin] ?? 0) + 1;
      }
    }
    this.squares += squares;
  }

  /** The quotient may be rounded over an edge: the edges decide. */
  #binOf(value: number, quotient: number): number {
    const last = histogramBins - 1;
    const bin = Math.min(Math.floor(quotient), last);
    if (value < (this.#edges[bin] ?? 0)) {
      return bin - 1;
    }
    return bin < last && value >= (this.#edges[bin + 1] ?? 0) ? bin + 1 : bin;
  }
}
