import type { ChartConfiguration, ChartOptions } from 'chart.js';
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  LinearScale,
  LogarithmicScale,
  Tooltip,
} from 'chart.js';
import type { SeriesColor, ThemeColors } from './theme-colors';
import { ThemedChart } from './themed-chart';

Chart.register(BarController, BarElement, CategoryScale, LinearScale, LogarithmicScale, Tooltip);

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Text of the tooltip; the label and the value if undefined. */
  readonly title?: string;
  readonly color: SeriesColor;
}

/** Range that bars of equal width divide, and its labeled positions. */
export interface BarRange {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
  readonly format: (value: number) => string;
}

export interface BarContent {
  readonly bars: readonly Bar[];
  /** Range of upright bars that are bins; without it, each bar has its own label. */
  readonly range?: BarRange | undefined;
  /** Bars from left to right, with their labels at the left; else upright and next to each other. */
  readonly horizontal: boolean;
  readonly logarithmic: boolean;
  readonly format: (value: number) => string;
  /** Titles of the axes of upright bars, if the text next to the chart does not name them. */
  readonly titles?: { readonly x: string; readonly y: string } | undefined;
}

/** chart.js's bar chart in the theme's colors. */
export class BarChart extends ThemedChart<BarContent, 'bar', Place[], string> {
  public constructor(canvas: HTMLCanvasElement) {
    super(canvas);
  }

  protected configure(
    content: BarContent,
    colors: ThemeColors,
  ): ChartConfiguration<'bar', Place[], string> {
    const { bars, horizontal, range } = content;
    return {
      type: 'bar',
      data: {
        labels: bars.map(({ label }) => label),
        datasets: [
          {
            data: bars.map(({ value }, i) =>
              range === undefined ? value : { x: middle(range, i, bars.length), y: value },
            ),
            backgroundColor: bars.map(({ color }) => colors.series[color]),
            ...(horizontal ? { barThickness: 14 } : { barPercentage: 1, categoryPercentage: 0.96 }),
          },
        ],
      },
      options: options(content, colors),
    };
  }
}

type Place = number | { readonly x: number; readonly y: number };

/** Middle of a part of a range. */
const middle = ({ low, high }: BarRange, part: number, parts: number): number =>
  low + ((high - low) * (part + 0.5)) / parts;

function options(content: BarContent, colors: ThemeColors): ChartOptions<'bar'> {
  const { bars, horizontal, range, logarithmic, format } = content;
  const font = { family: colors.fontFamily, size: 11 };
  const values = {
    type: logarithmic ? ('logarithmic' as const) : ('linear' as const),
    beginAtZero: true,
    grid: { color: colors.grid, lineWidth: 0.5 },
    border: { display: false },
    ticks: {
      color: colors.muted,
      font,
      maxTicksLimit: 6,
      // Bars count something.
      precision: 0,
      maxRotation: 0,
      callback: (value: string | number) => format(Number(value)),
    },
  };
  const title = (text: string | undefined) => ({
    display: text !== undefined,
    text: text ?? '',
    color: colors.muted,
    font,
  });
  const line = { grid: { display: false }, border: { color: colors.muted } };
  const text = {
    color: horizontal ? colors.foreground : colors.muted,
    ...{ font, maxRotation: 0, autoSkipPadding: 24 },
  };
  const labels =
    range === undefined
      ? {
          ...{ type: 'category' as const, ...line },
          ticks: {
            ...text,
            autoSkip: !horizontal,
            callback: (_: string | number, index: number) => bars[index]?.label ?? '',
          },
        }
      : {
          ...{ type: 'linear' as const, ...line },
          ...{ min: range.low, max: range.high, offset: false },
          afterBuildTicks: (axis: { ticks: { value: number }[] }) => {
            axis.ticks = range.ticks.map((value) => ({ value }));
          },
          ticks: { ...text, callback: (value: string | number) => range.format(Number(value)) },
        };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    indexAxis: horizontal ? 'y' : 'x',
    scales: horizontal
      ? { x: values, y: labels }
      : {
          x: { ...labels, title: title(content.titles?.x) },
          y: { ...values, title: title(content.titles?.y) },
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
        displayColors: false,
        callbacks: {
          title: ([item]) => {
            const bar = item === undefined ? undefined : bars[item.dataIndex];
            return bar?.title ?? bar?.label ?? '';
          },
          label: (item) => format(bars[item.dataIndex]?.value ?? 0),
        },
      },
    },
  };
}
