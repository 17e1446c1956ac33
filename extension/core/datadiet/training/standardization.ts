import type { Dataset } from '../../data/datasets/dataset';
import { elementCount } from '../../checkpoints/lazy-tensor';

/** Most examples that mean and deviation are measured on. */
const maxExamples = 10_000;
/** Examples that are held in memory at once. */
const examplesAtOnce = 500;
/** Below it all numbers are taken for equal. */
const smallestDeviation = 1e-6;

/** (x − mean) / deviation per channel of images, and per column of tables. */
export class Standardization {
  private constructor(
    private readonly mean: Float64Array,
    private readonly deviation: Float64Array,
    /** Numbers of one channel that lie one after the other. */
    private readonly run: number,
  ) {}

  /** Measured on up to 10 000 examples that are spread evenly over the data set. */
  public static of(dataset: Dataset): Standardization {
    const { featureShape, size } = dataset;
    const isImage = featureShape.length === 3;
    const channels = isImage ? (featureShape[0] ?? 1) : elementCount(featureShape);
    const run = isImage ? elementCount(featureShape.slice(1)) : 1;
    const count = Math.min(size, maxExamples);
    const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
    const [sums, squares] = [new Float64Array(channels), new Float64Array(channels)];
    for (let start = 0; start < count; start += examplesAtOnce) {
      const features = dataset.features(chosen.slice(start, start + examplesAtOnce));
      for (let i = 0; i < features.length; i++) {
        const channel = Math.floor(i / run) % channels;
        const x = features[i] ?? 0;
        sums[channel] = (sums[channel] ?? 0) + x;
        squares[channel] = (squares[channel] ?? 0) + x * x;
      }
    }
    const mean = sums.map((sum) => sum / (count * run));
    const deviation = squares.map((square, i) => {
      const found = Math.sqrt(Math.max(0, square / (count * run) - (mean[i] ?? 0) ** 2));
      return found > smallestDeviation ? found : 1;
    });
    return new Standardization(mean, deviation, run);
  }

  /** Changes the features of any number of examples in place. */
  public apply(features: Float32Array): void {
    const { mean, deviation, run } = this;
    for (let start = 0, channel = 0; start < features.length; start += run) {
      const [shift = 0, scale = 1] = [mean[channel], deviation[channel]];
      for (let i = start; i < start + run; i++) {
        features[i] = ((features[i] ?? 0) - shift) / scale;
      }
      channel = channel + 1 === mean.length ? 0 : channel + 1;
    }
  }
}
