import type { RefObject, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { BarContent } from '../charts/bar-chart';
import type { ChartContent } from '../charts/curve-chart';
import type { ScatterActions, ScatterContent } from '../charts/scatter-chart';
import { themeChanges } from '../kit/theme';
import { CopyImage } from './copy-image';

interface DrawnChart<Content> {
  /** In the colors of the theme as it is now. */
  show(content: Content): void;
  destroy(): void;
}

/** A chart of its own canvas, loaded after the first paint, which follows the content and the theme. */
export function useChart<Content, Chart extends DrawnChart<Content>>(
  load: (canvas: HTMLCanvasElement) => Promise<Chart>,
  content: Content,
): { readonly canvas: RefObject<HTMLCanvasElement | null>; readonly chart: Chart | undefined } {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [chart, setChart] = useState<Chart>();
  const theme = themeChanges();
  useEffect(() => {
    if (canvas.current === null) return undefined;
    const loading = load(canvas.current);
    void loading.then(setChart);
    return () => {
      void loading.then((made) => {
        made.destroy();
      });
    };
  }, []);
  useEffect(() => {
    // Reading the theme's colors lays the page out; in a task of its own it has been laid out already.
    const timer = setTimeout(() => {
      chart?.show(content);
    });
    return () => {
      clearTimeout(timer);
    };
  }, [chart, content, theme]);
  return { canvas, chart };
}

interface ScatterPlotProps {
  /** Id of the chart element, which receives the focus. */
  readonly id?: string;
  /** The same object as long as nothing has changed. */
  readonly content: ScatterContent;
  /** Index of the point that has a ring. */
  readonly ring: number | undefined;
  readonly actions: ScatterActions;
  readonly label: string;
  /** Id of the element with the usage hint. */
  readonly describedBy: string;
}

/** A scatter chart whose points are walked with the arrow keys and picked with Enter or a click. */
export function ScatterPlot(props: ScatterPlotProps): VNode {
  const { id, content, ring, label, describedBy } = props;
  const actions = useRef(props.actions);
  actions.current = props.actions;
  const { canvas, chart } = useChart(async (element) => {
    const { ScatterChart } = await import('../charts/scatter-chart');
    return new ScatterChart(element, {
      visit: (point) => {
        actions.current.visit(point);
      },
      pick: (point) => {
        actions.current.pick(point);
      },
      ...(props.actions.select === undefined
        ? {}
        : {
            select: (region) => {
              actions.current.select?.(region);
            },
          }),
    });
  }, content);
  useEffect(() => {
    chart?.ring(ring);
  }, [chart, ring]);
  return (
    <div class="chart-box medium">
      <canvas
        ref={canvas}
        id={id}
        role="application"
        tabIndex={0}
        aria-label={label}
        aria-describedby={describedBy}
      />
      <CopyImage draw={() => canvas.current} label={label} />
    </div>
  );
}

interface BarPlotProps {
  /** The same object as long as nothing has changed. */
  readonly content: BarContent;
  readonly label: string;
  /** Height in pixels; small if undefined. */
  readonly height?: number;
}

export function BarPlot({ content, label, height }: BarPlotProps): VNode {
  const { canvas } = useChart(async (element) => {
    const { BarChart } = await import('../charts/bar-chart');
    return new BarChart(element);
  }, content);
  return (
    <div
      class={height === undefined ? 'chart-box small' : 'chart-box'}
      style={{ height: height === undefined ? undefined : `${height}px` }}
    >
      <canvas ref={canvas} role="img" aria-label={label} />
      <CopyImage draw={() => canvas.current} label={label} />
    </div>
  );
}

interface CurvePlotProps {
  /** The same object as long as nothing has changed. */
  readonly content: ChartContent;
  /** Says in words what the chart shows. */
  readonly label: string;
  /** Called with the index of the clicked point. */
  readonly onPick?: (index: number) => void;
}

/** Lines whose points can be picked with a click. */
export function CurvePlot(props: CurvePlotProps): VNode {
  const latest = useRef(props);
  latest.current = props;
  const { canvas } = useChart(async (element) => {
    const { CurveChart } = await import('../charts/curve-chart');
    return new CurveChart(element, (index) => {
      latest.current.onPick?.(index);
    });
  }, props.content);
  return (
    <div class={props.onPick === undefined ? 'chart-box' : 'chart-box picks'}>
      <canvas ref={canvas} role="img" aria-label={props.label} />
      <CopyImage draw={() => canvas.current} label={props.label} />
    </div>
  );
}
