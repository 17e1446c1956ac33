import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { BarContent } from '../charts/bar-chart';
import { histogramBars, histogramRange, histogramRows } from '../charts/histogram';
import type { HistogramCounts } from '../charts/histogram';
import { formatCompact } from '../format';
import { strings } from '../strings';
import { BarPlot } from './charts';
import { Folded } from './section';
import { ScrollingTable } from './table';

interface HistogramProps {
  /** The same object as long as nothing has changed. */
  readonly histogram: HistogramCounts;
  /** Says in words what the chart shows. */
  readonly label: string;
  /** Counted items, as a column heading. */
  readonly counted: string;
  /** Measured quantity, if the text next to the chart does not name it; adds titles to the axes. */
  readonly measured?: string;
  readonly logarithmic?: boolean;
  /** Height in pixels; small if undefined. */
  readonly height?: number;
}

/** Frequency of each bin of a range: a chart, and its numbers below. */
export function Histogram(props: HistogramProps): VNode {
  const { histogram, label, counted, measured, logarithmic = false, height } = props;
  const content = useMemo<BarContent>(
    () => ({
      bars: histogramBars(histogram),
      range: histogramRange(histogram),
      horizontal: false,
      logarithmic,
      format: formatCompact,
      titles: measured === undefined ? undefined : { x: measured, y: counted },
    }),
    [histogram, logarithmic, measured, counted],
  );
  return (
    <>
      <BarPlot content={content} label={label} {...(height === undefined ? {} : { height })} />
      <Folded title={strings.histogramTable}>
        <ScrollingTable
          caption={strings.histogramTable}
          columns={[strings.from, strings.to, counted].map((title) => ({ title, isNumber: true }))}
          rows={histogramRows(histogram)}
        />
      </Folded>
    </>
  );
}
