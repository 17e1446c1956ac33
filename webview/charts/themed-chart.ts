import type { Chart, ChartType, DefaultDataPoint } from 'chart.js';
import type { ThemeColors } from './theme-colors';
import { readThemeColors } from './theme-colors';

/** A chart of chart.js in the theme's colours, drawn anew when its content or the theme changes. */
export abstract class ThemedChart<
  Content,
  Type extends ChartType,
  Data = DefaultDataPoint<Type>,
  Label = unknown,
> {
  protected abstract readonly chart: Chart<Type, Data, Label>;
  protected content: Content | undefined;
  protected colors: ThemeColors = readThemeColors();

  public show(content: Content): void {
    this.content = content;
    this.draw();
  }

  /** Reads the theme's colours again. */
  public recolor(): void {
    this.colors = readThemeColors();
    this.draw();
  }

  public destroy(): void {
    this.chart.destroy();
  }

  /** Sets the chart's data and options. */
  protected abstract fill(content: Content, colors: ThemeColors): void;

  private draw(): void {
    if (this.content === undefined) return;
    this.fill(this.content, this.colors);
    this.chart.update('none');
  }
}
