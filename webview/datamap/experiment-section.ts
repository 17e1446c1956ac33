import type { ChartSeries } from '../charts/curve-chart';
import { CurveChart } from '../charts/curve-chart';
import { seriesColors } from '../charts/theme-colors';
import { h, setAttribute, setChildren } from '../dom';
import { formatCount, formatPercent } from '../format';
import { folded, scrollingTable, section } from '../simple-table';
import { seriesOf } from './groups';
import { strings } from './strings';
import type { DataMap, Experiment } from './types';

export interface ExperimentSection {
  readonly element: HTMLElement;
  update(map: DataMap): void;
  recolor(): void;
}

const dashes = [[], [8, 4], [2, 3], [9, 3, 2, 3], [1, 2]] as const;
const markers = ['circle', 'rect', 'triangle', 'rectRot', 'crossRot'] as const;

/** What training on parts of the data set gave, where that was measured. */
export function createExperimentSection(): ExperimentSection {
  const body = h('div');
  let charts: CurveChart[] = [];
  return {
    element: section('experiment-title', strings.experiment, body),
    recolor: () => {
      charts.forEach((chart) => {
        chart.recolor();
      });
    },
    update: ({ experiments }) => {
      const shown = experiments.map(show);
      charts = shown.map(({ chart }) => chart);
      setChildren(
        body,
        shown.length === 0
          ? [h('p', { class: 'muted' }, strings.experimentNone)]
          : shown.map(({ element }) => element),
      );
      shown.forEach(({ draw }) => {
        draw();
      });
    },
  };
}

function show(experiment: Experiment) {
  const { file, request } = experiment;
  const canvas = h('canvas', { role: 'img' });
  const chart = new CurveChart(canvas, () => undefined);
  const all = seriesOf(experiment);
  const rows = all.flatMap((series) => series.rows.map((row) => ({ ...row, name: series.name })));
  const series = all.map((one, i): ChartSeries => ({
    label: one.name,
    points: one.rows.map(({ keep, mean }) => ({ x: keep, y: mean, rounds: 0 })),
    color: seriesColors[i % seriesColors.length] ?? 'blue',
    dash: dashes[i % dashes.length] ?? [],
    marker: markers[i % markers.length] ?? 'circle',
    axis: 'y',
    emphasised: one.name !== 'random' && one.name !== 'full',
  }));
  const legend = h(
    'ul',
    { class: 'legend' },
    ...series.map(({ label, color, marker }) =>
      h('li', {}, h('span', { class: `dot ${color} ${marker}`, 'aria-hidden': 'true' }), label),
    ),
  );
  const table = scrollingTable(
    strings.experimentTable,
    [
      { title: strings.trainedOn },
      { title: strings.keptShare, isNumber: true },
      { title: strings.examples, isNumber: true },
      { title: strings.accuracy, isNumber: true },
    ],
    rows.map(({ name, keep, examples, mean, deviation, offset }) => [
      offset === undefined ? name : `${name} ${strings.behind(formatPercent(offset))}`,
      formatPercent(keep),
      formatCount(examples),
      deviation === undefined
        ? formatPercent(mean)
        : `${formatPercent(mean)} ${strings.deviation(formatPercent(deviation))}`,
    ]),
  );
  const names = all.map(({ name }) => name).join(', ');
  setAttribute(canvas, 'aria-label', strings.experimentSummary(file, names));
  return {
    chart,
    element: h(
      'div',
      {},
      h('p', { class: 'muted' }, strings.experimentIso(request.iso, request.seeds, file)),
      legend,
      h('div', { class: 'chart-box medium' }, canvas),
      folded(strings.experimentTable, false, table),
    ),
    draw: () => {
      chart.show({
        series,
        titles: { x: strings.kept, y: strings.accuracy, y2: '' },
        logarithmic: false,
        selection: undefined,
        stepX: undefined,
        formatX: formatPercent,
        formatY: formatPercent,
        pointTitle: ({ x }) => `${strings.kept}: ${formatPercent(x)}`,
      });
    },
  };
}
