import * as v from 'valibot';
import type { PredictionsCompared } from './evaluation';
import { meanOverWindows, shareOverWindows } from './paired';
import type { Interval, Loss } from './paired';

/**
 * Predictions of two models for each counted token of a window: arrays of the same length, in the
 * order of the text.
 */
export const comparedWindowSchema = v.object({
  /** −log p(next token) in nats, of the original. */
  before: v.array(v.number()),
  /** −log p(next token) in nats, of the changed model. */
  after: v.array(v.number()),
  /** KL(p‖q) in nats, p being the original's probabilities. */
  divergence: v.array(v.number()),
  /** 1 if both models rank the same token first, else 0. */
  same: v.array(v.number()),
});
export type ComparedWindow = Readonly<v.InferOutput<typeof comparedWindowSchema>>;

export const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

/**
 * Quality figures of quantized models as in `llama-perplexity --kl-divergence`, with intervals over windows, because
 * tokens of one window are not independent.
 * @returns nothing if there are too few windows for intervals
 */
export function comparePredictions(windows: readonly ComparedWindow[]): PredictionsCompared {
  const losses = (read: (window: ComparedWindow) => readonly number[]): Loss[] =>
    windows.map((window) => ({ sum: sum(read(window)), tokens: window.before.length }));
  const klDivergence = meanOverWindows(losses(({ divergence }) => divergence));
  const agreement = shareOverWindows(losses(({ same }) => same));
  const squares = meanOverWindows(
    losses(({ before, after }) =>
      before.map((nats, i) => (Math.exp(-(after[i] ?? Number.NaN)) - Math.exp(-nats)) ** 2),
    ),
  );
  if (klDivergence === undefined || agreement === undefined || squares === undefined) {
    return {};
  }
  const divergences = windows.map(({ divergence }) => divergence);
  return {
    klDivergence: mapInterval(klDivergence, notNegative),
    klPercentiles: {
      median: quantileOverWindows(divergences, 0.5),
      p99: quantileOverWindows(divergences, 0.99),
      p999: quantileOverWindows(divergences, 0.999),
      maximum: notNegative(
        divergences.flat().reduce((most, one) => Math.max(most, one), Number.NEGATIVE_INFINITY),
      ),
    },
    agreement,
    probabilityChange: mapInterval(squares, (square) => Math.sqrt(notNegative(square))),
  };
}

/**
 * A quantile of a per-token value. Its interval is Woodruff's (1952): the quantiles at both ends of
 * the interval of the share of tokens that do not exceed it, over windows. If the share reaches 1,
 * the upper end is the largest value seen; larger ones are possible.
 * @param quantile above 0, below 1; interpolated between neighbors, as llama-perplexity does
 */
function quantileOverWindows(windows: readonly (readonly number[])[], quantile: number): Interval {
  const sorted = Float64Array.from(windows.flat()).toSorted();
  const at = (share: number): number => {
    const place = Math.min(1, Math.max(0, share)) * (sorted.length - 1);
    const below = Math.floor(place);
    const [low = 0, high = low] = sorted.subarray(below, below + 2);
    return notNegative(low + (place - below) * (high - low));
  };
  const value = at(quantile);
  const share = shareOverWindows(
    windows.map((window) => ({
      sum: window.filter((one) => one <= value).length,
      tokens: window.length,
    })),
  );
  const { low = 0, high = 1 } = share ?? {};
  return { value, low: Math.min(value, at(low)), high: Math.max(value, at(high)) };
}

const mapInterval = (
  { value, low, high }: Interval,
  change: (value: number) => number,
): Interval => ({ value: change(value), low: change(low), high: change(high) });

/** A divergence is not negative, but rounding and ends of intervals can be. */
const notNegative = (value: number): number => Math.max(0, value);
