import { normalQuantile, studentQuantile } from '../statistics';

/** Value with its 95 % confidence interval, for text or examples like the measured ones. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Loss of a model on a text, and the number of its tokens. */
export interface Loss {
  /** Sum of the negative log-likelihoods of the tokens, in nats. */
  readonly sum: number;
  readonly tokens: number;
}

/** Comparison of two models' answers to the same examples. */
export interface AnswersCompared {
  /** Accuracy of the second model minus that of the first. */
  readonly difference: Interval;
  /** Accuracy of the second model divided by that of the first; absent if the first has no correct answer. */
  readonly retention?: number;
  /** Number of examples that only the second model answers correctly. */
  readonly gained: number;
  /** Number of examples that only the first model answers correctly. */
  readonly lost: number;
  /**
   * Probability of this difference or a larger one if both models are equally good: McNemar's exact test, two-sided.
   */
  readonly chance: number;
}

/** One side of 95 %. */
const tail = 0.025;
/** Minimum number of windows or examples for an interval. */
const leastCount = 4;

/**
 * Ratio of a changed model's perplexity to the original's, on the same windows of text. Its logarithm is the mean
 * difference in nats.
 * @returns undefined if there are too few windows for an interval
 */
export function comparePerplexity(
  before: readonly Loss[],
  after: readonly Loss[],
): Interval | undefined {
  const nats = meanOverWindows(
    before.map(({ sum, tokens }, i) => ({ sum: (after[i]?.sum ?? Number.NaN) - sum, tokens })),
  );
  return (
    nats && { value: Math.exp(nats.value), low: Math.exp(nats.low), high: Math.exp(nats.high) }
  );
}

/**
 * Mean per token from sums over windows. Windows are independent, the tokens in them are not. The
 * interval is that of a ratio of sums over windows, by Student's t.
 * @returns undefined if there are too few windows to estimate their variance
 */
export function meanOverWindows(windows: readonly Loss[]): Interval | undefined {
  const { length: count } = windows;
  if (count < leastCount) {
    return undefined;
  }
  const tokens = windows.reduce((total, one) => total + one.tokens, 0);
  const value = windows.reduce((total, { sum }) => total + sum, 0) / tokens;
  const squares = windows.reduce((total, one) => total + (one.sum - value * one.tokens) ** 2, 0);
  const error = Math.sqrt((squares * count) / (count - 1)) / tokens;
  const reach = studentQuantile(tail, count - 1) * error;
  return { value, low: value - reach, high: value + reach };
}

/**
 * Share of the tokens, from the counts of each window. Identical windows do not make the share
 * certain: the interval is at least as wide as for the same number of independent tokens.
 */
export function shareOverWindows(windows: readonly Loss[]): Interval | undefined {
  const found = meanOverWindows(windows);
  if (found === undefined) {
    return undefined;
  }
  const { value, low, high } = found;
  const least = shareInterval(
    value,
    windows.reduce((total, { tokens }) => total + tokens, 0),
  );
  return {
    value,
    low: Math.max(0, Math.min(low, least.low)),
    high: Math.min(1, Math.max(high, least.high)),
  };
}

/**
 * Compares the correct answers of two models. The interval adds half an example to each of the four cells, so that few
 * examples do not look like certainty (Agresti and Min, 2005).
 */
export function compareAnswers(
  before: readonly boolean[],
  after: readonly boolean[],
): AnswersCompared {
  const { length } = before;
  const gained = after.filter((isRight, i) => isRight && before[i] === false).length;
  const lost = before.filter((isRight, i) => isRight && after[i] === false).length;
  const stillRight = before.filter(Boolean).length;
  const [more, fewer, all] = [gained + 0.5, lost + 0.5, length + 2];
  const center = (more - fewer) / all;
  const reach =
    studentQuantile(tail, Math.max(leastCount - 1, length - 1)) *
    (Math.sqrt(more + fewer - (more - fewer) ** 2 / all) / all);
  return {
    difference: {
      value: (gained - lost) / length,
      low: Math.max(-1, center - reach),
      high: Math.min(1, center + reach),
    },
    ...(stillRight === 0 ? {} : { retention: 1 + (gained - lost) / stillRight }),
    gained,
    lost,
    chance: signTest(gained, lost),
  };
}

/** The factor that paired measurements differ by: the mean of its logarithm, by Student's t. */
export function meanFactor(ratios: readonly number[]): Interval {
  const logarithms = ratios.map(Math.log);
  const { length } = logarithms;
  const mean = logarithms.reduce((sum, one) => sum + one, 0) / length;
  const squares = logarithms.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  const reach = studentQuantile(tail, length - 1) * Math.sqrt(squares / (length - 1) / length);
  return { value: Math.exp(mean), low: Math.exp(mean - reach), high: Math.exp(mean + reach) };
}

/** The share of `count` positions, with Wilson's interval (1927). */
export function shareInterval(share: number, count: number): Interval {
  const z = normalQuantile(tail);
  const weight = 1 / (1 + z ** 2 / count);
  const center = weight * (share + z ** 2 / (2 * count));
  const reach = weight * z * Math.sqrt((share * (1 - share)) / count + (z / (2 * count)) ** 2);
  return { value: share, low: center - reach, high: center + reach };
}

/** Two-sided p-value of the sign test for counts `a` and `b`. */
function signTest(a: number, b: number): number {
  const flips = a + b;
  let logarithm = -flips * Math.LN2;
  let below = 0;
  for (let heads = 0; heads <= Math.min(a, b); heads++) {
    below += Math.exp(logarithm);
    logarithm += Math.log((flips - heads) / (heads + 1));
  }
  return Math.min(1, 2 * below);
}
