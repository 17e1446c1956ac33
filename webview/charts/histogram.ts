import { formatCount } from '../format';
import { strings } from '../strings';
import type { Bar, BarRange } from './bar-chart';

/** Number of values in each bin of a range; all bins have the same size. */
export interface HistogramCounts {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** Formats a number of any size: few digits, and powers of ten if it is very large or small. */
export function formatNumber(value: number, digits = 3): string {
  const magnitude = Math.abs(value);
  return magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)
    ? value.toExponential(digits - 1)
    : value.toLocaleString('en', { maximumSignificantDigits: digits });
}

/** Formats numbers within the range so that the ends of a part differ: a narrow range takes more digits. */
function edgeFormat({ low, high, counts }: HistogramCounts): (value: number) => string {
  const parts = (Math.max(Math.abs(low), Math.abs(high)) * counts.length) / (high - low);
  const digits = Number.isFinite(parts) ? Math.ceil(Math.log10(parts)) + 1 : 3;
  return (value) => formatNumber(value, Math.min(10, Math.max(3, digits)));
}

/** Lower end of part `index`, or the upper end of the last. */
function edge({ low, high, counts }: HistogramCounts, index: number): number {
  return low + ((high - low) * index) / counts.length;
}

/** Range of a bar, as text. */
function binText(histogram: HistogramCounts, index: number): string {
  const format = edgeFormat(histogram);
  return strings.bin(format(edge(histogram, index)), format(edge(histogram, index + 1)));
}

export function histogramBars(histogram: HistogramCounts): Bar[] {
  const format = edgeFormat(histogram);
  return histogram.counts.map((value, index) => ({
    // Labeled by the middle, so that a label applies to its whole bar.
    label: format((edge(histogram, index) + edge(histogram, index + 1)) / 2),
    title: binText(histogram, index),
    value,
    color: 'blue',
  }));
}

/** About six round numbers in the range; undefined if it has no width. */
export function histogramRange(histogram: HistogramCounts): BarRange | undefined {
  const { low, high } = histogram;
  const rough = (high - low) / 6;
  if (!(rough > 0) || !Number.isFinite(rough)) return undefined;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  const ticks = Array.from({ length: count }, (_, i) => (first + i) * step);
  return { low, high, ticks, format: edgeFormat(histogram) };
}

/** The chart in a sentence. */
export function histogramSummary(histogram: HistogramCounts): string {
  const { counts, low, high } = histogram;
  const format = edgeFormat(histogram);
  const peak = counts.indexOf(Math.max(...counts));
  const middle = (edge(histogram, peak) + edge(histogram, peak + 1)) / 2;
  return strings.histogramSummary(counts.length, format(low), format(high), format(middle));
}

/** The chart as rows of a table: from, to, how many; empty parts are left out. */
export function histogramRows(histogram: HistogramCounts): string[][] {
  const format = edgeFormat(histogram);
  return histogram.counts.flatMap((count, index) =>
    count === 0
      ? []
      : [[format(edge(histogram, index)), format(edge(histogram, index + 1)), formatCount(count)]],
  );
}
