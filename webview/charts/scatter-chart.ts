import type { ChartConfiguration, ChartDataset, ChartOptions, PointStyle } from 'chart.js';
import { Chart, LinearScale, PointElement, ScatterController, Tooltip } from 'chart.js';
import type { Direction, Place } from './point-walk';
import { directions, nearestPlace, nextPlace } from './point-walk';
import type { SeriesColor, ThemeColors } from './theme-colors';
import { ThemedChart } from './themed-chart';
import type { Plot } from './themed-chart';
import { named } from '../translate';

Chart.register(LinearScale, PointElement, ScatterController, Tooltip);

export interface ScatterPoint {
  readonly x: number;
  readonly y: number;
  /** Index of the example of this point. */
  readonly index: number;
}

export interface ScatterSeries {
  readonly label: string;
  readonly points: readonly ScatterPoint[];
  readonly color: SeriesColor;
  readonly marker: Extract<PointStyle, string>;
}

/** Handlers of user actions on the points of a chart. */
export interface ScatterActions {
  /** The point that the keyboard has come to. */
  readonly visit: (point: ScatterPoint) => void;
  /** The point that was clicked, or that Enter was pressed at. */
  readonly pick: (point: ScatterPoint) => void;
  /** A rectangle that was drawn with the mouse, or around the point where Shift and Enter were pressed. */
  readonly select?: ((region: ChartRegion) => void) | undefined;
}

/** A rectangle in a chart: from and to on each axis. */
export interface ChartRegion {
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

/** Minimum distance of a drag that selects, in pixels. */
const leastDrag = 6;
/** Share of the axes that is selected around a point. */
const around = 0.05;

/** A horizontal line through the whole chart. */
export interface Level {
  readonly y: number;
  readonly color: SeriesColor;
  /** Lengths of dashes and gaps; empty for a solid line. */
  readonly dash: readonly number[];
}

/** Mean and standard deviation of the points around a place on the horizontal axis. */
export interface Whisker {
  readonly x: number;
  readonly mean: number;
  /** 0 if unknown. */
  readonly deviation: number;
}

/** An axis: from, to, and the distance between its numbers where the chart's own are not meant. */
export interface AxisRange {
  readonly min: number;
  readonly max: number;
  readonly step?: number;
}

/** Maximum distance between a click and its point, in pixels. */
const reach = 10;

export interface ScatterContent {
  readonly series: readonly ScatterSeries[];
  readonly titles: { readonly x: string; readonly y: string };
  readonly format: (value: number) => string;
  /** Format of the horizontal axis; same as `format` if undefined. */
  readonly formatX?: (value: number) => string;
  /** Starts at 0 if undefined. */
  readonly rangeX?: AxisRange;
  /** From 0 to 1 if undefined. */
  readonly rangeY?: AxisRange;
  readonly levels?: readonly Level[];
  readonly whiskers?: readonly Whisker[];
  readonly pointTitle: (point: ScatterPoint) => string;
}

/** chart.js's scatter chart in the theme's colors, whose points can be picked. */
export class ScatterChart extends ThemedChart<ScatterContent, 'scatter', ScatterPoint[]> {
  /** All drawn points, and their positions in that list by index. */
  private points: readonly ScatterPoint[] = [];
  private numbers: ReadonlyMap<number, number> = new Map();
  /** Index of the point with a ring. */
  private ringed: number | undefined;
  /** Start and current position of a drag. */
  private drag: { readonly from: Place; readonly to: Place } | undefined;
  private hasSelected = false;

  public constructor(
    canvas: HTMLCanvasElement,
    private readonly actions: ScatterActions,
  ) {
    super(canvas);
    this.listenToDrags();
    canvas.addEventListener('click', ({ offsetX: x, offsetY: y }) => {
      if (this.hasSelected) return;
      const near = nearestPlace(this.points.map(this.placeOf), { x, y }, reach);
      this.pick(this.points[near ?? -1]);
    });
    canvas.addEventListener('mousemove', ({ offsetX: x, offsetY: y }) => {
      const near = nearestPlace(this.points.map(this.placeOf), { x, y }, reach);
      canvas.classList.toggle('over-point', near !== undefined);
    });
    canvas.addEventListener('keydown', (event) => {
      if (this.press(event.key, event.shiftKey)) event.preventDefault();
    });
  }

  private listenToDrags(): void {
    const { canvas } = this;
    canvas.addEventListener('pointerdown', ({ offsetX: x, offsetY: y, button }) => {
      this.hasSelected = false;
      this.drag = button === 0 ? { from: { x, y }, to: { x, y } } : undefined;
    });
    canvas.addEventListener('pointermove', ({ offsetX: x, offsetY: y, pointerId }) => {
      if (this.drag === undefined || this.actions.select === undefined) return;
      this.drag = { ...this.drag, to: { x, y } };
      if (!this.isLong()) return;
      if (!canvas.hasPointerCapture(pointerId)) canvas.setPointerCapture(pointerId);
      this.chart?.draw();
    });
    canvas.addEventListener('pointerup', () => {
      const { drag, chart } = this;
      const isLong = this.isLong();
      this.drag = undefined;
      if (drag === undefined || chart === undefined || !isLong) return;
      // The click that follows is the end of the drag.
      this.hasSelected = true;
      this.actions.select?.({
        x: axisValues(chart, 'x', drag.from.x, drag.to.x),
        y: axisValues(chart, 'y', drag.from.y, drag.to.y),
      });
      chart.draw();
    });
    canvas.addEventListener('pointercancel', () => {
      this.drag = undefined;
      this.chart?.draw();
    });
  }

  private isLong(): boolean {
    if (this.drag === undefined || this.actions.select === undefined) return false;
    const { from, to } = this.drag;
    return Math.hypot(to.x - from.x, to.y - from.y) >= leastDrag;
  }

  private selectAround(point: ScatterPoint | undefined): void {
    if (point === undefined || this.chart === undefined) return;
    const { left, right, top, bottom } = this.chart.chartArea;
    const { x, y } = this.placeOf(point);
    const [width, height] = [around * (right - left), around * (bottom - top)];
    this.actions.select?.({
      x: axisValues(this.chart, 'x', x - width, x + width),
      y: axisValues(this.chart, 'y', y - height, y + height),
    });
  }

  private drawDrag({ ctx }: Plot): void {
    if (this.drag === undefined || !this.isLong()) return;
    const { from, to } = this.drag;
    ctx.save();
    ctx.strokeStyle = this.colors.foreground;
    ctx.setLineDash([4, 3]);
    ctx.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    ctx.restore();
  }

  /** Draws a ring around the point of an example, if it is drawn. */
  public ring(index: number | undefined): void {
    if (index === this.ringed) return;
    this.ringed = index;
    this.chart?.draw();
  }

  /** True if the key was handled. */
  private press(key: string, isShifted: boolean): boolean {
    const { points } = this;
    const from = this.numbers.get(this.ringed ?? -1) ?? -1;
    const direction = directions.find((one): one is Direction => one === key);
    if (direction !== undefined) {
      const next = points[nextPlace(points.map(this.placeOf), from, direction) ?? -1];
      if (next !== undefined) {
        this.ring(next.index);
        this.actions.visit(next);
      }
      return true;
    }
    if (key !== 'Enter' && key !== ' ') return false;
    if (isShifted && this.actions.select !== undefined) this.selectAround(points[from]);
    else this.pick(points[from]);
    return true;
  }

  private pick(point: ScatterPoint | undefined): void {
    if (point === undefined) return;
    this.ring(point.index);
    this.actions.pick(point);
  }

  private readonly placeOf = (point: Pick<ScatterPoint, 'x' | 'y'>): Place =>
    this.chart === undefined ? { x: 0, y: 0 } : placeIn(this.chart, point);

  private drawLevels({ ctx, chartArea, scales }: Plot): void {
    ctx.save();
    ctx.lineWidth = 1.5;
    for (const { y, color, dash } of this.content?.levels ?? []) {
      const top = scales['y']?.getPixelForValue(y) ?? 0;
      ctx.strokeStyle = this.colors.series[color];
      ctx.setLineDash([...dash]);
      ctx.beginPath();
      ctx.moveTo(chartArea.left, top);
      ctx.lineTo(chartArea.right, top);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** A long line at the mean, short ones a standard deviation above and below. */
  private drawWhiskers(chart: Plot): void {
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = this.colors.foreground;
    ctx.lineWidth = 1;
    for (const { x, mean, deviation } of this.content?.whiskers ?? []) {
      const ends = [mean - deviation, mean + deviation].map((y) => placeIn(chart, { x, y }));
      const [low, high] = ends;
      const middle = placeIn(chart, { x, y: mean });
      ctx.beginPath();
      ctx.moveTo(low?.x ?? 0, low?.y ?? 0);
      ctx.lineTo(high?.x ?? 0, high?.y ?? 0);
      for (const [end, half] of [...ends.map((one) => [one, 8] as const), [middle, 22] as const]) {
        ctx.moveTo(end.x - half, end.y);
        ctx.lineTo(end.x + half, end.y);
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  private drawRing(chart: Plot): void {
    const point = this.points[this.numbers.get(this.ringed ?? -1) ?? -1];
    if (point === undefined) return;
    const { ctx } = chart;
    const { x, y } = placeIn(chart, point);
    ctx.save();
    ctx.strokeStyle = this.colors.foreground;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(x, y, 8, 0, 2 * Math.PI);
    ctx.stroke();
    ctx.restore();
  }

  protected configure(
    content: ScatterContent,
    colors: ThemeColors,
  ): ChartConfiguration<'scatter', ScatterPoint[]> {
    this.points = content.series.flatMap(({ points }) => points);
    this.numbers = new Map(this.points.map(({ index }, number) => [index, number]));
    return {
      type: 'scatter',
      data: { datasets: content.series.map((series) => dataset(series, colors)) },
      options: options(content, colors),
      plugins: [
        {
          id: 'ring',
          beforeDatasetsDraw: (chart) => {
            this.drawLevels(chart);
            this.drawWhiskers(chart);
          },
          afterDatasetsDraw: (chart) => {
            this.drawRing(chart);
            this.drawDrag(chart);
          },
        },
      ],
    };
  }
}

function placeIn({ scales }: Plot, { x, y }: Pick<ScatterPoint, 'x' | 'y'>): Place {
  return {
    x: scales['x']?.getPixelForValue(x) ?? 0,
    y: scales['y']?.getPixelForValue(y) ?? 0,
  };
}

/** Values on an axis at two pixels, ascending. */
function axisValues(
  { scales }: Plot,
  axis: 'x' | 'y',
  from: number,
  to: number,
): readonly [number, number] {
  const valueAt = (pixel: number) => scales[axis]?.getValueForPixel(pixel) ?? 0;
  const [a, b] = [valueAt(from), valueAt(to)];
  return [Math.min(a, b), Math.max(a, b)];
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
    // Points on the edge are drawn whole.
    clip: 8,
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
  const { formatX = content.format } = content;
  const axis = (title: string, format: (value: number) => string, range?: AxisRange) => ({
    type: 'linear' as const,
    ...(range === undefined ? {} : { min: range.min, max: range.max }),
    title: { display: true, text: title, color: colors.muted, font },
    grid: { color: colors.grid, lineWidth: 0.5 },
    border: { color: colors.muted },
    ticks: {
      color: colors.muted,
      font,
      maxRotation: 0,
      maxTicksLimit: 7,
      // An end between two even steps has no number.
      includeBounds: false,
      ...(range?.step === undefined ? {} : { stepSize: range.step }),
      // The ends of an axis need not be places that are numbered.
      callback: (value: string | number) =>
        range?.step === undefined || Number(value) % range.step === 0 ? format(Number(value)) : '',
    },
  });
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    scales: {
      x: {
        ...axis(content.titles.x, formatX, content.rangeX),
        beginAtZero: content.rangeX === undefined,
      },
      y: axis(content.titles.y, content.format, content.rangeY ?? { min: 0, max: 1 }),
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
            return [label, named(titles.y, format(y)), named(titles.x, formatX(x))];
          },
        },
      },
    },
  };
}
