import { Chart } from 'chart.js';
import type { ChartConfiguration, ChartType, DefaultDataPoint } from 'chart.js';
import type { ThemeColors } from './theme-colors';
import { readThemeColors } from './theme-colors';

/** Parts of a chart of any type that plugins draw with. */
export type Plot = Pick<Chart, 'ctx' | 'chartArea' | 'scales'>;

/** A chart of chart.js in the theme's colors. */
export abstract class ThemedChart<
  Content,
  Type extends ChartType,
  Data = DefaultDataPoint<Type>,
  Label = unknown,
> {
  /** Made with its first content: an empty one would be laid out as well. */
  protected chart: Chart<Type, Data, Label> | undefined;
  protected content: Content | undefined;
  protected colors: ThemeColors = readThemeColors();

  protected constructor(protected readonly canvas: HTMLCanvasElement) {}

  /** Redraws the chart in the colors of the current theme. */
  public show(content: Content): void {
    this.content = content;
    this.colors = readThemeColors();
    const configuration = this.configure(content, this.colors);
    if (this.chart === undefined) {
      this.chart = new Chart<Type, Data, Label>(this.canvas, configuration);
      return;
    }
    const { data, options } = configuration;
    this.chart.data = data;
    if (options !== undefined) this.chart.options = options;
    this.chart.update('none');
  }

  public destroy(): void {
    this.chart?.destroy();
  }

  protected abstract configure(
    content: Content,
    colors: ThemeColors,
  ): ChartConfiguration<Type, Data, Label>;
}
