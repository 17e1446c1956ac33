import type { Interval } from './paired';

/** `62.5 ± 1.9 %`; a dash where it was not measured. */
export const formatAccuracy = (share: number | undefined, error: number | undefined): string =>
  share === undefined || error === undefined
    ? '–'
    : `${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;

/** A difference of accuracies in percentage points, with its sign. */
export const formatPoints = (difference: number): string =>
  `${difference < 0 ? '−' : '+'}${Math.abs(100 * difference).toFixed(1)}`;

/** Whether so many examples show that two models differ. */
export const isShown = ({ low, high }: Interval): boolean => low > 0 || high < 0;
