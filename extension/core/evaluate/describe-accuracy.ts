import { formatPercent } from '../format';
import { counted, say } from '../message';
import type { Message } from '../message';
import type { PredictionsCompared } from './evaluation';
import type { AnswersCompared, Interval } from './paired';

/** `62.5 ± 1.9 %`, or a dash if it was not measured. */
export const formatAccuracy = (share: number | undefined, error: number | undefined): string =>
  share === undefined || error === undefined
    ? '–'
    : `${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;

/** A difference of accuracies in percentage points, with its sign. */
export const formatPoints = (difference: number): string =>
  `${difference < 0 ? '−' : '+'}${Math.abs(100 * difference).toFixed(1)}`;

/** Sentences that compare the predictions of two models; empty if they were not compared. */
export function describePredictions({
  klDivergence,
  klPercentiles,
  agreement,
  probabilityChange,
}: {
  readonly [Figure in keyof PredictionsCompared]: PredictionsCompared[Figure] | undefined;
}): Message[] {
  const nats = (amount: number): string => (amount === 0 ? '0' : amount.toPrecision(3));
  const percent = (share: number): string => (100 * share).toFixed(1);
  const divergence = klDivergence && describeShare(klDivergence, nats);
  const share = agreement && describeShare(agreement, percent);
  const change = probabilityChange && describeShare(probabilityChange, percent);
  const percentiles = klPercentiles && {
    p99: describeShare(klPercentiles.p99, nats),
    p999: describeShare(klPercentiles.p999, nats),
  };
  return [
    ...(divergence === undefined
      ? []
      : [
          say`KL divergence: ${divergence.value} nats per token (95 % interval ${divergence.low} to ${divergence.high})`,
        ]),
    ...(klPercentiles === undefined || percentiles === undefined
      ? []
      : [
          say`KL divergence per token: median ${nats(klPercentiles.median.value)}, 99 % ${percentiles.p99.value} (${percentiles.p99.low} to ${percentiles.p99.high}), 99.9 % ${percentiles.p999.value} (${percentiles.p999.low} to ${percentiles.p999.high}), maximum ${nats(klPercentiles.maximum)}`,
        ]),
    ...(share === undefined
      ? []
      : [say`Top-1 agreement: ${share.value} % (95 % interval ${share.low} to ${share.high} %)`]),
    ...(change === undefined
      ? []
      : [
          say`RMS change of the next token's probability: ${change.value} % (95 % interval ${change.low} to ${change.high} %)`,
        ]),
  ];
}

/** Comparison as read from a document. */
type Compared = Omit<AnswersCompared, 'retention'> & { readonly retention?: number | undefined };

/**
 * Sentences that compare two models' answers to the same examples.
 * @param accuracy name of the accuracy metric
 */
export function describeAnswers(
  { difference, gained, lost, chance, retention }: Compared,
  {
    accuracy,
    against,
    examples,
  }: { accuracy: string; against: string | Message; examples: number },
): Message[] {
  const { value, low, high } = describeShare(difference, formatPoints);
  return [
    isShown(difference)
      ? say`${accuracy}: ${value} points from ${against} (95 % interval ${low} to ${high})`
      : say`${accuracy}: no significant difference from ${against} with ${counted(examples, 'example')} (95 % interval ${low} to ${high} points)`,
    say`Changed answers: ${gained} wrong → right, ${lost} right → wrong (McNemar p = ${chance.toPrecision(2)})`,
    ...(retention === undefined ? [] : [say`Accuracy retained: ${formatPercent(retention)}`]),
  ];
}

/** Name of the accuracy metric of a task, as in lm-evaluation-harness. */
export const accuracyName = (kind: string | undefined): string =>
  kind === 'exact-match' ? 'exact_match' : 'acc';

const describeShare = (
  { value, low, high }: Interval,
  format: (value: number) => string,
): Readonly<Record<keyof Interval, string>> => ({
  value: format(value),
  low: format(low),
  high: format(high),
});

/** True if the interval excludes 0, so that the models differ significantly. */
export const isShown = ({ low, high }: Interval): boolean => low > 0 || high < 0;
