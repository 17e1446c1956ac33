import { BarChart } from '../charts/bar-chart';
import type { SeriesColor } from '../charts/theme-colors';
import { h, setAttribute, setChildren } from '../dom';
import { formatBytes, formatCompact, formatCount, formatPercent } from '../format';
import { section, simpleTable } from '../simple-table';
import { strings } from './strings';
import type { ComponentKind, ModelDescription } from './types';

const colors: Readonly<Record<ComponentKind, SeriesColor>> = {
  attention: 'blue',
  'cross-attention': 'blue',
  parallel: 'blue',
  feedforward: 'yellow',
  expert: 'yellow',
  convolution: 'green',
  patch: 'green',
  embedding: 'purple',
  head: 'purple',
  'final-norm': 'red',
  other: 'red',
};

/** Height of a bar with its space, in pixels. */
const barHeight = 24;
const axisHeight = 30;

export interface CompositionSection {
  readonly element: HTMLElement;
  update(model: ModelDescription): void;
  recolor(): void;
}

/** What the parameters are for: a chart and the same numbers as a table. */
export function createCompositionSection(): CompositionSection {
  const canvas = h('canvas', { role: 'img' });
  const box = h('div', { class: 'chart-box' }, canvas);
  const table = h('div');
  const chart = new BarChart(canvas);
  return {
    element: section('composition-title', strings.composition, box, table),
    recolor: () => {
      chart.recolor();
    },
    update: ({ composition, totals }) => {
      const share = (parameters: number) =>
        formatPercent(totals.parameters === 0 ? 0 : parameters / totals.parameters);
      const parts = composition.map(({ kind, parameters }) =>
        strings.compositionPart(strings.kind(kind), share(parameters)),
      );
      setAttribute(canvas, 'aria-label', strings.compositionSummary(parts.join(', ')));
      box.style.height = `${composition.length * barHeight + axisHeight}px`;
      chart.show({
        bars: composition.map(({ kind, parameters }) => ({
          label: strings.kind(kind),
          value: parameters,
          color: colors[kind],
        })),
        horizontal: true,
        logarithmic: false,
        format: formatCompact,
      });
      setChildren(table, [
        simpleTable(
          strings.composition,
          [
            { title: strings.kindColumn },
            { title: strings.tensorsColumn, isNumber: true },
            { title: strings.parameters, isNumber: true },
            { title: strings.shareColumn, isNumber: true },
            { title: strings.size, isNumber: true },
          ],
          composition.map(({ kind, tensors, parameters, bytes }) => [
            strings.kind(kind),
            formatCount(tensors),
            formatCompact(parameters),
            share(parameters),
            formatBytes(bytes),
          ]),
        ),
      ]);
    },
  };
}
