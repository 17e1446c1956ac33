import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { floatTensor } from '../../runtime/tensors';
import type { Tensor } from '../../runtime/tensors';
import { drawRaven, baselineAccuracies } from './raven-data';
import type { RavenExample, RavenLines, RavenRequest } from './raven-data';
import { say } from '../../message';

/** Training and evaluation data of a study. */
export interface SplitRequest extends RavenRequest {
  /** Number of examples. */
  readonly train: number;
  readonly validation: number;
  readonly test: number;
}

/** Examples as inputs of a network. */
export class RavenSplit {
  public constructor(
    /** [examples, 1, size, size], from −1 (black) to 1 (white). */
    private readonly images: Float32Array,
    /** 0 or 1. */
    public readonly labels: Float32Array,
    private readonly side: number,
    public readonly lines: RavenLines,
  ) {}

  public get size(): number {
    return this.labels.length;
  }

  /** Split of the first examples; baseline accuracies refer to all. */
  public first(count: number): RavenSplit {
    const { images, labels, side, lines } = this;
    const pixels = images.subarray(0, count * side ** 2);
    return new RavenSplit(pixels, labels.subarray(0, count), side, lines);
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

/** Matrices drawn between two checks for cancellation. */
const portion = 50;

/**
 * Draws data and splits them into train, validation and test.
 * @throws CancelledError
 */
export async function drawSplits(request: SplitRequest, job: JobContext): Promise<RavenSplits> {
  const { size, train, validation, test } = request;
  const total = train + validation + test;
  const source = drawRaven(request);
  const all: RavenExample[] = [];
  while (all.length < total) {
    all.push(source.next().value);
    if (all.length % portion === 0) {
      job.progress({ stage: say`Reading weights`, done: all.length, total, unit: 'steps' });
      await checkpoint(job.cancellation);
    }
  }
  const part = (start: number, count: number): RavenSplit =>
    createSplit(all.slice(start, start + count), size);
  return {
    train: part(0, train),
    validation: part(train, validation),
    test: part(train + validation, test),
  };
}

function createSplit(examples: readonly RavenExample[], size: number): RavenSplit {
  const images = new Float32Array(examples.length * size * size);
  examples.forEach(({ pixels }, i) => {
    const scaled = Float32Array.from(pixels, (gray) => (2 * gray) / 255 - 1);
    images.set(scaled, i * size * size);
  });
  const labels = Float32Array.from(examples, ({ label }) => Number(label));
  return new RavenSplit(images, labels, size, baselineAccuracies(examples));
}
