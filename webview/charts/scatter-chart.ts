import type { ChartDataset, ChartOptions, PointStyle } from 'chart.js';
import { Chart, LinearScale, PointElement, ScatterController, Tooltip } from 'chart.js';
import type { SeriesColor, ThemeColors } from './theme-colors';
import { ThemedChart } from './themed-chart';

Chart.register(LinearScale, PointElement, ScatterController, Tooltip);

export interface ScatterPoint {
  readonly x: number;
  readonly y: number;
  /** What the point stands for. */
  readonly index: number;
}

export interface ScatterSeries {
  readonly label: string;
  readonly points: readonly ScatterPoint[];
  readonly color: SeriesColor;
  readonly marker: Extract<PointStyle, string>;
}

export interface ScatterContent {
  readonly series: readonly ScatterSeries[];
  readonly titles: { readonly x: string; readonly y: string };
  readonly format: (value: number) => string;
  readonly pointTitle: (point: ScatterPoint) => string;
}

/** chart.js's scatter chart in the theme's colours. */
export class ScatterChart extends ThemedChart<ScatterContent, 'scatter', ScatterPoint[]> {
  protected readonly chart: Chart<'scatter', ScatterPoint[]>;

  public constructor(canvas: HTMLCanvasElement) {
    super();
    this.chart = new Chart<'scatter', ScatterPoint[]>(canvas, {
      type: 'scatter',
      data: { datasets: [] },
      options: {},
    });
  }

  protected fill(content: ScatterContent, colors: ThemeColors): void {
    this.chart.data.datasets = content.series.map((series) => dataset(series, colors));
    this.chart.options = options(content, colors);
  }
}

function dataset(
  { label, points, color, marker }: ScatterSeries,
  colors: ThemeColors,
): ChartDataset<'scatter', ScatterPoint[]> {
  return {
    label,
    data: [...points],
    parsing: false,
    normalized: true,
    backgroundColor: colors.series[color],
    borderColor: colors.series[color],
    pointStyle: marker,
    // A cross has no area: it is drawn larger to weigh as much.
    pointRadius: (points.length > 500 ? 1.5 : 3) * (marker === 'crossRot' ? 1.5 : 1),
    pointHoverRadius: 6,
    pointBorderWidth: marker === 'crossRot' ? 1.5 : 0,
  };
}

function options(content: ScatterContent, colors: ThemeColors): ChartOptions<'scatter'> {
  const font = { family: colors.fontFamily, size: 11 };
  const axis = (title: string) => ({
    type: 'linear' as const,
    title: { display: true, text: title, color: colors.muted, font },
    grid: { color: colors.grid, lineWidth: 0.5 },
    border: { color: colors.muted },
    ticks: {
      color: colors.muted,
      font,
      maxRotation: 0,
      maxTicksLimit: 7,
      callback: (value: string | number) => content.format(Number(value)),
    },
  });
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    scales: {
      x: { ...axis(content.titles.x), beginAtZero: true },
      y: { ...axis(content.titles.y), min: 0, max: 1 },
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
          title: ([item]) =>
            item === undefined ? '' : content.pointTitle(item.raw as ScatterPoint),
          label: ({ dataset: { label = '' }, raw }) => {
            const { x, y } = raw as ScatterPoint;
            const { titles, format } = content;
            return [label, `${titles.y}: ${format(y)}`, `${titles.x}: ${format(x)}`];
          },
        },
      },
    },
  };
}
