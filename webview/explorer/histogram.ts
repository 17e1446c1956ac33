import { formatCount } from '../format';
import type { Bar } from '../charts/bar-chart';
import { strings } from './strings';
import type { TensorStatistics } from './types';

export type Histogram = NonNullable<TensorStatistics['histogram']>;

const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** A number of a tensor: few digits, and powers of ten where it is very large or small. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value);
  return magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)
    ? value.toExponential(2)
    : short.format(value);
}

/** Lower end of part `index`, or the upper end of the last. */
function edge({ low, high, counts }: Histogram, index: number): number {
  return low + ((high - low) * index) / counts.length;
}

/** The parts of the range that a bar stands for, as text. */
function binText(histogram: Histogram, index: number): string {
  return strings.bin(
    formatNumber(edge(histogram, index)),
    formatNumber(edge(histogram, index + 1)),
  );
}

export function histogramBars(histogram: Histogram): Bar[] {
  return histogram.counts.map((value, index) => ({
    // Labelled by the middle, so that a label stands for its whole bar.
    label: formatNumber((edge(histogram, index) + edge(histogram, index + 1)) / 2),
    title: binText(histogram, index),
    value,
    color: 'blue',
  }));
}

/** The chart in a sentence. */
export function histogramSummary(histogram: Histogram): string {
  const { counts, low, high } = histogram;
  const peak = counts.indexOf(Math.max(...counts));
  const middle = (edge(histogram, peak) + edge(histogram, peak + 1)) / 2;
  return strings.histogramSummary(
    counts.length,
    formatNumber(low),
    formatNumber(high),
    formatNumber(middle),
  );
}

/** The chart as rows of a table: from, to, how many; empty parts are left out. */
export function histogramRows(histogram: Histogram): string[][] {
  return histogram.counts.flatMap((count, index) =>
    count === 0
      ? []
      : [
          [
            formatNumber(edge(histogram, index)),
            formatNumber(edge(histogram, index + 1)),
            formatCount(count),
          ],
        ],
  );
}
