import { choose, seededRandom } from '../../data/random';
import { ranks } from '../../data/rank-correlation';

/** Labels of which some are wrong, and which. */
export interface NoisyLabels {
  readonly labels: Int32Array;
  /** 1 where the label was changed. */
  readonly flipped: Uint8Array;
}

/** Gives round(rate · examples) examples another class, every other one being as likely. */
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
 * Area under the ROC curve: how likely a marked example has a higher score than one that is not, ties
 * counting half (Mann and Whitney). Undefined where all or none are marked.
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
