import { formatPercent } from '../format';
import { counted, say } from '../message';
import type { Message } from '../message';
import type { PredictionsCompared } from './evaluation';
import type { AnswersCompared, Interval } from './paired';

/** `62.5 ± 1.9 %`; a dash where it was not measured. */
export const formatAccuracy = (share: number | undefined, error: number | undefined): string =>
  share === undefined || error === undefined
    ? '–'
    : `${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;

/** A difference of accuracies in percentage points, with its sign. */
export const formatPoints = (difference: number): string =>
  `${difference < 0 ? '−' : '+'}${Math.abs(100 * difference).toFixed(1)}`;

/** What two models predict, in a sentence each; none where they were not compared. */
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
  const divergence = klDivergence && inWords(klDivergence, nats);
  const share = agreement && inWords(agreement, percent);
  const change = probabilityChange && inWords(probabilityChange, percent);
  const percentiles = klPercentiles && {
    p99: inWords(klPercentiles.p99, nats),
    p999: inWords(klPercentiles.p999, nats),
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
          say`KL divergence of single tokens: median ${nats(klPercentiles.median.value)}, 99 % below ${percentiles.p99.value} (${percentiles.p99.low} to ${percentiles.p99.high}), 99.9 % below ${percentiles.p999.value} (${percentiles.p999.low} to ${percentiles.p999.high}), maximum ${nats(klPercentiles.maximum)}`,
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

/** As it is read from a document. */
type Compared = Omit<AnswersCompared, 'retention'> & { readonly retention?: number | undefined };

/**
 * How two models answer the same examples, in a sentence each.
 * @param accuracy what the share of right answers is called
 */
export function describeAnswers(
  { difference, gained, lost, chance, retention }: Compared,
  {
    accuracy,
    against,
    examples,
  }: { accuracy: string; against: string | Message; examples: number },
): Message[] {
  const { value, low, high } = inWords(difference, formatPoints);
  return [
    isShown(difference)
      ? say`${accuracy}: ${value} points from ${against} (95 % interval ${low} to ${high})`
      : say`${accuracy}: no difference from ${against} that ${counted(examples, 'example')} could show (95 % interval ${low} to ${high} points)`,
    say`Changed answers: ${gained} wrong → right, ${lost} right → wrong (McNemar p = ${chance.toPrecision(2)})`,
    ...(retention === undefined ? [] : [say`Accuracy retained: ${formatPercent(retention)}`]),
  ];
}

/** What the accuracy of a task is called: as in lm-evaluation-harness. */
export const accuracyName = (kind: string | undefined): string =>
  kind === 'exact-match' ? 'exact_match' : 'acc';

const inWords = (
  { value, low, high }: Interval,
  format: (value: number) => string,
): Readonly<Record<keyof Interval, string>> => ({
  value: format(value),
  low: format(low),
  high: format(high),
});

/** Whether so many examples show that two models differ. */
export const isShown = ({ low, high }: Interval): boolean => low > 0 || high < 0;
