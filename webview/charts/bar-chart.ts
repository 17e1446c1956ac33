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
  /** What a tooltip says; the label and the value where absent. */
  readonly title?: string;
  /** What the axis says at the bar. Where any bar has one, the axis says nothing at the others. */
  readonly tick?: string;
  readonly color: SeriesColor;
}

export interface BarContent {
  readonly bars: readonly Bar[];
  /** Bars from left to right, with their labels at the left; else upright and next to each other. */
  readonly horizontal: boolean;
  readonly logarithmic: boolean;
  readonly format: (value: number) => string;
}

/** chart.js's bar chart in the theme's colours. */
export class BarChart extends ThemedChart<BarContent, 'bar', number[], string> {
  public constructor(canvas: HTMLCanvasElement) {
    super(canvas);
  }

  protected configure(
    content: BarContent,
    colors: ThemeColors,
  ): ChartConfiguration<'bar', number[], string> {
    const { bars, horizontal } = content;
    return {
      type: 'bar',
      data: {
        labels: bars.map(({ label }) => label),
        datasets: [
          {
            data: bars.map(({ value }) => value),
            backgroundColor: bars.map(({ color }) => colors.series[color]),
            ...(horizontal ? { barThickness: 14 } : { barPercentage: 1, categoryPercentage: 0.96 }),
          },
        ],
      },
      options: options(content, colors),
    };
  }
}

function options(content: BarContent, colors: ThemeColors): ChartOptions<'bar'> {
  const { bars, horizontal, logarithmic, format } = content;
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
  const hasTicks = bars.some(({ tick }) => tick !== undefined);
  const labels = {
    type: 'category' as const,
    grid: { display: false },
    border: { color: colors.muted },
    ticks: {
      color: horizontal ? colors.foreground : colors.muted,
      font,
      maxRotation: 0,
      autoSkip: !horizontal && !hasTicks,
      autoSkipPadding: 24,
      callback: (_: string | number, index: number) => {
        const { tick = '', label = '' } = bars[index] ?? {};
        return hasTicks ? tick : label;
      },
    },
  };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    indexAxis: horizontal ? 'y' : 'x',
    scales: horizontal ? { x: values, y: labels } : { x: labels, y: values },
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
