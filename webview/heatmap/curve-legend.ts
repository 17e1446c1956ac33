import type { ChartSeries } from '../charts/curve-chart';
import { h, setAttribute, setChildren, svg } from '../dom';
import { strings } from '../strings';
import type { Curves } from './curves';
import type { PanelActions } from './panel-part';
import type { BaselineName } from './types';

export type SeriesName = 'greedy' | 'predicted' | BaselineName | 'perplexity';
type Look = Pick<ChartSeries, 'color' | 'dash' | 'marker' | 'axis' | 'emphasised'>;

/** Series differ in dash and marker as well as in colour. */
export const seriesLooks: Readonly<Record<SeriesName, Look>> = {
  greedy: { color: 'blue', dash: [], marker: 'circle', axis: 'y', emphasised: true },
  predicted: { color: 'blue', dash: [4, 4], marker: 'circle', axis: 'y', emphasised: false },
  'one-shot': { color: 'yellow', dash: [8, 4], marker: 'rect', axis: 'y', emphasised: false },
  reverse: { color: 'green', dash: [2, 3], marker: 'triangle', axis: 'y', emphasised: false },
  random: { color: 'purple', dash: [9, 3, 2, 3], marker: 'rectRot', axis: 'y', emphasised: false },
  perplexity: { color: 'red', dash: [1, 2], marker: 'crossRot', axis: 'y2', emphasised: false },
};

export interface CurveLegend {
  readonly element: HTMLElement;
  update(curves: Curves, hidden: readonly string[]): void;
}

/** The chart's legend as buttons that switch series on and off; a canvas legend has no keyboard. */
export function createCurveLegend({ setView }: PanelActions): CurveLegend {
  let hiddenNow: readonly string[] = [];
  const buttons = new Map<SeriesName, HTMLElement>();
  const buttonOf = (name: SeriesName) => {
    const known = buttons.get(name);
    if (known !== undefined) return known;
    const button = h('button', { type: 'button' }, sample(name), h('span', {}, labelOf(name)));
    button.addEventListener('click', () => {
      setView({
        hiddenSeries: hiddenNow.includes(name)
          ? hiddenNow.filter((one) => one !== name)
          : [...hiddenNow, name],
      });
    });
    buttons.set(name, button);
    return button;
  };
  const element = h('div', { class: 'series', role: 'group', 'aria-label': strings.series });
  return {
    element,
    update: (curves, hidden) => {
      hiddenNow = hidden;
      const names: SeriesName[] = ['greedy', ...curves.baselines.map(({ name }) => name)];
      if (curves.predicted.length > 0) names.push('predicted');
      if (curves.perplexity.length > 0) names.push('perplexity');
      setChildren(element, names.map(buttonOf));
      for (const name of names) {
        setAttribute(buttonOf(name), 'aria-pressed', hidden.includes(name) ? 'false' : 'true');
      }
    },
  };
}

function labelOf(name: SeriesName): string {
  if (name === 'greedy') return strings.greedy;
  if (name === 'predicted') return strings.predicted;
  return name === 'perplexity' ? strings.perplexitySeries : strings.baseline(name);
}

function sample(name: SeriesName): SVGSVGElement {
  const { color, dash } = seriesLooks[name];
  return svg(
    'svg',
    { class: `line ${color}`, viewBox: '0 0 28 8', 'aria-hidden': 'true', focusable: 'false' },
    svg('line', {
      x1: 0,
      y1: 4,
      x2: 28,
      y2: 4,
      'stroke-width': 2,
      'stroke-dasharray': dash.length === 0 ? undefined : dash.join(' '),
    }),
  );
}
