import { formatChange } from '../format';
import type { EvaluationDocument } from './evaluation-document';
import type { Interval } from './paired';

type Domain = NonNullable<EvaluationDocument['domains']>[number];

/**
 * Column titles of a table of domains, after the name; only the first two if one model was
 * evaluated.
 */
export const domainTitles = [
  'tokens',
  'perplexity',
  'change',
  'mean KL',
  '99 % KL',
  '99.9 % KL',
  'maximum KL',
  'top-1 agreement',
  'RMS Δp',
] as const;

/** Cells of those columns, with 95 % intervals in brackets if asked for. */
export function domainCells(
  {
    tokens,
    perplexity,
    perplexityRatio,
    klDivergence,
    klPercentiles,
    agreement,
    probabilityChange,
  }: Domain,
  { isCompared, intervals }: { readonly isCompared: boolean; readonly intervals: boolean },
): string[] {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const ratio = (factor: number): string => formatChange(1, factor);
  const withInterval = (
    interval: Interval | undefined,
    format: (value: number) => string,
  ): string => {
    const ends = interval && ` [${format(interval.low)}, ${format(interval.high)}]`;
    return interval === undefined ? '–' : `${format(interval.value)}${intervals ? ends : ''}`;
  };
  const one = [String(tokens), perplexity.toFixed(2)];
  return isCompared
    ? [
        ...one,
        withInterval(perplexityRatio, ratio),
        withInterval(klDivergence, nats),
        withInterval(klPercentiles?.p99, nats),
        withInterval(klPercentiles?.p999, nats),
        klPercentiles === undefined ? '–' : nats(klPercentiles.maximum),
        withInterval(agreement, percent),
        withInterval(probabilityChange, percent),
      ]
    : one;
}

const nats = (amount: number): string => (amount === 0 ? '0' : amount.toPrecision(3));
