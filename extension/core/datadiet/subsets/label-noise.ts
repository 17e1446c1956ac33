import { choose, seededRandom } from '../../data/random';
import { ranks } from '../../data/rank-correlation';

/** Labels after flipping some of them. */
export interface NoisyLabels {
  readonly labels: Int32Array;
  /** 1 if the label was flipped. */
  readonly flipped: Uint8Array;
}

/** Flips the labels of round(rate · examples) examples to a uniformly random other class. */
export function flipLabels(
  labels: Int32Array,
  classes: number,
  rate: number,
  seed: number,
): NoisyLabels {
  const random = seededRandom(seed);
  const flipped = new Uint8Array(labels.length);
  const noisy = labels.slice();
  for (const example of choose(Math.round(rate * labels.length), labels.length, random)) {
    const other = Math.floor(random() * (classes - 1));
    const label = labels[example] ?? 0;
    noisy[example] = other < label ? other : other + 1;
    flipped[example] = 1;
  }
  return { labels: noisy, flipped };
}

/**
 * Area under the ROC curve: probability that a marked example has a higher score than an unmarked one, with ties
 * counted as half (Mann–Whitney). Undefined if all or none are marked.
 */
export function auroc(scores: Float64Array, marked: Uint8Array): number | undefined {
  const positives = marked.reduce((sum, mark) => sum + mark, 0);
  const negatives = marked.length - positives;
  if (positives === 0 || negatives === 0) {
    return undefined;
  }
  const sum = ranks(scores).reduce((total, rank, i) => total + (marked[i] === 1 ? rank : 0), 0);
  return (sum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
