import { floatTensor } from '../../runtime/tensors';
import type { Tensor } from '../../runtime/tensors';
import { drawRaven, linesOf } from './raven-data';
import type { RavenLines, RavenMode } from './raven-data';

/** What data a study trains on and examines by. */
export interface SplitRequest {
  readonly mode: RavenMode;
  /** Pixels on a side. */
  readonly size: number;
  readonly seed: number;
  /** Numbers of examples. */
  readonly train: number;
  readonly validation: number;
  readonly test: number;
}

/** Examples as a network reads them. */
export class RavenSplit {
  public constructor(
    /** [examples, 1, size, size], −1 black, 1 white. */
    private readonly images: Float32Array,
    /** 0 or 1. */
    public readonly labels: Float32Array,
    private readonly side: number,
    public readonly lines: RavenLines,
  ) {}

  public get size(): number {
    return this.labels.length;
  }

  /** Images and labels of some examples: [batch, 1, size, size] and [batch, 1]. */
  public batch(examples: readonly number[]): { images: Tensor; labels: Tensor } {
    const pixels = this.side ** 2;
    const images = new Float32Array(examples.length * pixels);
    examples.forEach((example, i) => {
      images.set(this.images.subarray(example * pixels, (example + 1) * pixels), i * pixels);
    });
    const labels = Float32Array.from(examples, (example) => this.labels[example] ?? 0);
    return {
      images: floatTensor(images, [examples.length, 1, this.side, this.side]),
      labels: floatTensor(labels, [examples.length, 1]),
    };
  }
}

export interface RavenSplits {
  readonly train: RavenSplit;
  readonly validation: RavenSplit;
  readonly test: RavenSplit;
}

/** Draws data once and cuts them into train, validation and test. */
export function drawSplits(request: SplitRequest): RavenSplits {
  const { mode, size, seed, train, validation, test } = request;
  const all = drawRaven({ count: train + validation + test, size, mode, seed });
  const part = (start: number, count: number): RavenSplit => {
    const examples = all.slice(start, start + count);
    const images = new Float32Array(count * size * size);
    examples.forEach(({ pixels }, i) => {
      images.set(
        Float32Array.from(pixels, (gray) => (2 * gray) / 255 - 1),
        i * size * size,
      );
    });
    const labels = Float32Array.from(examples, ({ label }) => Number(label));
    return new RavenSplit(images, labels, size, linesOf(examples));
  };
  return {
    train: part(0, train),
    validation: part(train, validation),
    test: part(train + validation, test),
  };
}
