import type { ChartConfiguration, ChartDataset, ChartOptions, PointStyle } from 'chart.js';
import {
  Chart,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
} from 'chart.js';
import { placeNames } from './place-names';
import type { SeriesColor, ThemeColors } from './theme-colors';
import { ThemedChart } from './themed-chart';
import type { Plot } from './themed-chart';
import { named } from '../translate';

Chart.register(LinearScale, LineController, LineElement, LogarithmicScale, PointElement, Tooltip);

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Value that the point represents, such as a number of rounds. */
  readonly index: number;
  /** Standard deviation of `y`, if known. */
  readonly spread?: number;
  /** Drawn next to the point, if there is room. */
  readonly name?: string;
  /** More about the point, for its tooltip. */
  readonly note?: string;
  /** True if the point is drawn hollow in any series. */
  readonly isHollow?: boolean;
}

export interface ChartSeries {
  readonly label: string;
  readonly points: readonly ChartPoint[];
  readonly color: SeriesColor;
  /** Lengths of dashes and gaps; empty for a solid line. */
  readonly dash: readonly number[];
  readonly marker: Extract<PointStyle, string>;
  /** Vertical axis: `y` on the left, `y2` on the right. */
  readonly axis: 'y' | 'y2';
  readonly emphasised: boolean;
  /** True if no line connects the points. */
  readonly pointsOnly?: boolean;
}

export interface ChartContent {
  readonly series: readonly ChartSeries[];
  readonly titles: { readonly x: string; readonly y: string; readonly y2: string };
  readonly logarithmic: boolean;
  /** Horizontal place of the selection and its value on `y`, if it is measured. */
  readonly selection:
    | {
        readonly x: number;
        readonly y: number | undefined;
        /** Horizontal place of the ring, if it differs from that of the line. */
        readonly ringX?: number;
      }
    | undefined;
  /** End of the horizontal axis, if the points don't reach it. */
  readonly mostX?: number;
  /** Step between the labels of the horizontal axis, if the chart's own are not round. */
  readonly stepX: number | undefined;
  /** True if `x` is a count. */
  readonly countsX?: boolean;
  readonly formatX: (value: number) => string;
  readonly formatY: (value: number) => string;
  /** True if `y` contains shares of one. */
  readonly sharesY?: boolean;
  /** Format of the right axis, if it contains shares of one. */
  readonly formatY2?: (value: number) => string;
  readonly pointTitle: (point: ChartPoint) => string;
}

/** Rectangle between the axes in pixels of the canvas, and the values at its left and right. */
export interface PlotArea {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly min: number;
  readonly max: number;
}

/** chart.js's line chart in the theme's colors, with the selection marked. */
export class CurveChart extends ThemedChart<ChartContent, 'line', ChartPoint[]> {
  /** @param onLayout is called with the area of the plot whenever it is drawn */
  public constructor(
    canvas: HTMLCanvasElement,
    onPick: (index: number) => void,
    private readonly onLayout: (area: PlotArea) => void = () => undefined,
  ) {
    super(canvas);
    canvas.addEventListener('click', (event) => {
      const x = this.chart?.scales['x']?.getValueForPixel(event.offsetX);
      const point = x === undefined ? undefined : nearestPoint(this.content, x);
      if (point !== undefined) onPick(point.index);
    });
  }

  protected configure(
    content: ChartContent,
    colors: ThemeColors,
  ): ChartConfiguration<'line', ChartPoint[]> {
    return {
      type: 'line',
      data: { datasets: content.series.map((series) => dataset(series, content, colors)) },
      options: options(content, colors),
      plugins: [
        {
          id: 'selection',
          beforeDatasetsDraw: (chart) => {
            this.drawSelection(chart);
          },
          afterDatasetsDraw: (chart) => {
            this.drawSpreads(chart);
            this.drawNames(chart);
            const { x } = chart.scales;
            const { left, right, top, bottom } = chart.chartArea;
            if (x !== undefined)
              this.onLayout({ left, right, top, bottom, min: x.min, max: x.max });
          },
        },
      ],
    };
  }

  /** A line at what is removed, and a ring around its point. */
  private drawSelection({ ctx, chartArea, scales }: Plot): void {
    const { selection } = this.content ?? {};
    const { x, y } = scales;
    if (selection === undefined || x === undefined || y === undefined) return;
    const left = x.getPixelForValue(selection.x);
    ctx.save();
    ctx.strokeStyle = this.colors.foreground;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(left, chartArea.top);
    ctx.lineTo(left, chartArea.bottom);
    ctx.stroke();
    const top = selection.y === undefined ? Number.NaN : y.getPixelForValue(selection.y);
    if (top >= chartArea.top - 1 && top <= chartArea.bottom + 1) {
      ctx.beginPath();
      ctx.lineWidth = 2;
      ctx.arc(x.getPixelForValue(selection.ringX ?? selection.x), top, 8, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** Names of points that have a place where they cover nothing. */
  private drawNames({ ctx, chartArea, scales }: Plot): void {
    const points = (this.content?.series ?? []).flatMap(({ points: own, axis }) => {
      const [x, y] = [scales['x'], scales[axis]];
      return x === undefined || y === undefined
        ? []
        : own.map(({ x: at, y: value, name }) => ({
            ...{ x: x.getPixelForValue(at), y: y.getPixelForValue(value), name },
          }));
    });
    const lines = this.drawnLines(chartArea, scales);
    ctx.save();
    ctx.font = `11px ${this.colors.fontFamily}`;
    ctx.fillStyle = this.colors.foreground;
    ctx.textBaseline = 'middle';
    const names = points.flatMap(({ x, y, name }) =>
      name === undefined ? [] : [{ x, y, name, width: ctx.measureText(name).width }],
    );
    for (const [i, place] of placeNames(names, points, chartArea, lines).entries()) {
      if (place !== undefined) ctx.fillText(names[i]?.name ?? '', place.left, place.top);
    }
    ctx.restore();
  }

  /** Lines of the series and of the selection, in pixels. */
  private drawnLines({ top, bottom }: Plot['chartArea'], scales: Plot['scales']) {
    const { x } = scales;
    const { series = [], selection } = this.content ?? {};
    if (x === undefined) return [];
    const curves = series
      .filter(({ pointsOnly }) => pointsOnly !== true)
      .map(({ points, axis }) =>
        points
          .map(({ x: at, y: value }) => ({
            x: x.getPixelForValue(at),
            y: scales[axis]?.getPixelForValue(value) ?? Number.NaN,
          }))
          .filter(({ y }) => Number.isFinite(y)),
      );
    if (selection === undefined) return curves;
    const left = x.getPixelForValue(selection.x);
    const rule = [
      { x: left, y: top },
      { x: left, y: bottom },
    ];
    return [...curves, rule];
  }

  /** A line with two ends through each point whose spread is known. */
  private drawSpreads({ ctx, scales }: Plot): void {
    const { x, y } = scales;
    if (x === undefined || y === undefined) return;
    ctx.save();
    ctx.lineWidth = 1;
    for (const { points, color } of this.content?.series ?? []) {
      ctx.strokeStyle = this.colors.series[color];
      for (const { x: at, y: mean, spread = 0 } of points.filter((one) => one.spread)) {
        const left = x.getPixelForValue(at);
        const [top, bottom] = [
          y.getPixelForValue(mean + spread),
          y.getPixelForValue(mean - spread),
        ];
        ctx.beginPath();
        ctx.moveTo(left, top);
        ctx.lineTo(left, bottom);
        for (const end of [top, bottom]) {
          ctx.moveTo(left - 4, end);
          ctx.lineTo(left + 4, end);
        }
        ctx.stroke();
      }
    }
    ctx.restore();
  }
}

/** The point of the emphasised series that is nearest to a place on the horizontal axis. */
function nearestPoint(content: ChartContent | undefined, x: number): ChartPoint | undefined {
  const points = content?.series.find((one) => one.emphasised)?.points ?? [];
  return points.reduce<ChartPoint | undefined>(
    (best, point) =>
      best !== undefined && Math.abs(best.x - x) <= Math.abs(point.x - x) ? best : point,
    undefined,
  );
}

function dataset(
  series: ChartSeries,
  { logarithmic }: ChartContent,
  colors: ThemeColors,
): ChartDataset<'line', ChartPoint[]> {
  const color = colors.series[series.color];
  const onLog = logarithmic && series.axis === 'y';
  return {
    label: series.label,
    data: series.points.filter((point) => !onLog || point.y > 0),
    yAxisID: series.axis,
    borderColor: color,
    backgroundColor: color,
    pointBackgroundColor: series.points
      .filter((point) => !onLog || point.y > 0)
      .map(({ isHollow }) => ((isHollow ?? !series.emphasised) ? colors.background : color)),
    showLine: series.pointsOnly !== true,
    borderDash: [...series.dash],
    borderWidth: series.emphasised ? 2 : 1.5,
    pointStyle: series.marker,
    pointRadius: series.pointsOnly === true ? 4 : series.points.length > 40 ? 1.5 : 3,
    pointHoverRadius: 5,
    // A mark at the end of an axis is whole.
    clip: 6,
    order: series.emphasised ? 0 : 1,
  };
}

function options(content: ChartContent, colors: ThemeColors): ChartOptions<'line'> {
  const font = { family: colors.fontFamily, size: 11 };
  const title = (text: string) => ({ display: true, text, color: colors.muted, font });
  const label = (isLogarithmic: boolean, axis: ChartSeries['axis']) => (value: number | string) =>
    isLogarithmic && !isLogTick(Number(value), isWide(content, axis))
      ? // Without a number, no line either.
        null
      : formatOn(content, axis)(Number(value)).replace(/\.?0+(?=e)/, '');
  const has = (axis: ChartSeries['axis']) => content.series.some((one) => one.axis === axis);
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    // Room for the ring around a selected point at the edge.
    layout: { padding: { top: 10, right: has('y2') ? 0 : 10 } },
    interaction: { mode: 'nearest', axis: 'x', intersect: false },
    scales: {
      x: {
        type: 'linear',
        beginAtZero: true,
        // A manual selection can remove more than the series.
        ...(content.selection === undefined ? {} : { suggestedMax: content.selection.x }),
        ...(content.mostX === undefined ? {} : { max: content.mostX }),
        title: title(content.titles.x),
        grid: { display: false },
        border: { color: colors.muted },
        ticks: {
          color: colors.muted,
          font,
          maxRotation: 0,
          autoSkipPadding: 12,
          ...(content.stepX === undefined ? {} : { stepSize: content.stepX }),
          ...(content.countsX === true ? { precision: 0 } : {}),
          callback: (value) => content.formatX(Number(value)),
        },
      },
      y: {
        type: content.logarithmic ? 'logarithmic' : 'linear',
        ...ownRange(content),
        ...(content.sharesY === true ? shareRange(content, 'y') : {}),
        display: has('y'),
        title: title(content.titles.y),
        grid: { color: colors.grid, lineWidth: 0.5 },
        border: { color: colors.muted },
        ticks: {
          color: colors.muted,
          font,
          autoSkipPadding: 8,
          callback: label(content.logarithmic, 'y'),
        },
      },
      y2: {
        type: isLogarithmicRight(content) ? 'logarithmic' : 'linear',
        position: 'right',
        ...(content.formatY2 === undefined ? {} : shareRange(content, 'y2')),
        display: has('y2'),
        title: title(content.titles.y2),
        grid: { drawOnChartArea: false },
        border: { color: colors.muted },
        ticks: {
          color: colors.muted,
          font,
          callback: label(isLogarithmicRight(content), 'y2'),
        },
      },
    },
    plugins: {
      tooltip: {
        backgroundColor: colors.tooltipBackground,
        borderColor: colors.tooltipBorder,
        borderWidth: 1,
        cornerRadius: 3,
        titleColor: colors.foreground,
        bodyColor: colors.foreground,
        titleFont: { ...font, weight: 'bold' },
        bodyFont: font,
        usePointStyle: true,
        callbacks: {
          title: ([item]) => (item === undefined ? '' : content.pointTitle(item.raw as ChartPoint)),
          label: (item) => {
            const { y, name, note } = item.raw as ChartPoint;
            const value = formatOn(content, item.dataset.yAxisID)(y);
            const text = named(name ?? item.dataset.label ?? '', value);
            return note === undefined ? text : [text, note];
          },
        },
      },
    },
  };
}

const formatOn = ({ formatY, formatY2 = formatY }: ChartContent, axis: string | undefined) =>
  axis === 'y2' ? formatY2 : formatY;

/** Distances and perplexities span decades, shares do not. */
const isLogarithmicRight = (content: ChartContent): boolean =>
  content.logarithmic && content.formatY2 === undefined && isWide(content, 'y2');

/** Shares end at 1. Equal shares are drawn on the full scale, so that no difference is suggested. */
function shareRange(
  { series }: ChartContent,
  axis: ChartSeries['axis'],
): { min?: number; max: number } {
  const shares = series.filter((one) => one.axis === axis).flatMap((one) => one.points);
  return { max: 1, ...(new Set(shares.map(({ y }) => y)).size === 1 ? { min: 0 } : {}) };
}

/** An axis holds the ends of the spreads and the selection, which the chart does not know of. */
function ownRange({ series, selection }: ChartContent): {
  suggestedMin?: number;
  suggestedMax?: number;
} {
  const points = series.filter(({ axis }) => axis === 'y').flatMap((one) => one.points);
  const spreads = points.flatMap(({ y, spread }) =>
    spread === undefined ? [] : [y - spread, y + spread],
  );
  const ends = [...spreads, ...(selection?.y === undefined ? [] : [selection.y])];
  return ends.length === 0
    ? {}
    : { suggestedMin: Math.min(...ends), suggestedMax: Math.max(...ends) };
}

/** True if the values of an axis span more than a decade, which a linear axis shows poorly. */
function isWide({ series }: ChartContent, axis: ChartSeries['axis']): boolean {
  const values = series.filter((one) => one.axis === axis).flatMap((one) => one.points);
  // A logarithmic axis leaves out the rest.
  const ys = values.map((point) => point.y).filter((y) => y > 0);
  return Math.max(...ys) > 10 * Math.min(...ys);
}

/** Logarithmic axes number 1, 2 and 5 of every decade; within one decade, what two digits tell. */
function isLogTick(value: number, isWide: boolean): boolean {
  const leading = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  const near = (digits: number): boolean =>
    Math.abs(leading - Number(leading.toFixed(digits))) < 1e-6;
  return isWide ? near(0) && [1, 2, 5].includes(Math.round(leading)) : near(1);
}
