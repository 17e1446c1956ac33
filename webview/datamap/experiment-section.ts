import type { ChartPoint, ChartSeries } from '../charts/curve-chart';
import { CurveChart } from '../charts/curve-chart';
import { seriesColors } from '../charts/theme-colors';
import { createButton } from '../components/toolkit';
import { h, setAttribute, setChildren } from '../dom';
import { formatCount, formatPercent } from '../format';
import { folded, scrollingTable, section } from '../simple-table';
import type { ExperimentSeries } from './groups';
import { seriesOf } from './groups';
import { strings } from './strings';
import type { DataMap, Experiment, Send } from './types';

export interface ExperimentSection {
  readonly element: HTMLElement;
  update(map: DataMap): void;
  setBlocked(reason: string | undefined): void;
  recolor(): void;
}

const dashes = [[], [8, 4], [2, 3], [9, 3, 2, 3], [1, 2]] as const;
const markers = ['circle', 'rect', 'triangle', 'rectRot', 'crossRot'] as const;

/** What training on parts of the data set gave, where that was measured. */
export function createExperimentSection(send: Send): ExperimentSection {
  const compare = createButton(strings.compare, false, () => {
    send({ type: 'compare' });
  });
  const body = h('div');
  let charts: CurveChart[] = [];
  return {
    element: section(
      'experiment-title',
      strings.experiment,
      body,
      h('div', { class: 'pager' }, compare.element),
    ),
    recolor: () => {
      charts.forEach((chart) => {
        chart.recolor();
      });
    },
    setBlocked: (reason) => {
      compare.setState(reason, strings.compareTitle);
    },
    update: ({ experiments, data, problem }) => {
      compare.element.hidden = data === undefined || problem !== undefined;
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

/** Training on all examples has one result, which stands as a line beside every share. */
function pointsOf({ name, rows }: ExperimentSeries, all: Experiment['rows']): ChartPoint[] {
  const points = rows.map(({ keep, mean, deviation }) => ({
    ...{ x: keep, y: mean, rounds: 0 },
    ...(deviation === undefined ? {} : { spread: deviation }),
  }));
  const [whole] = points;
  if (name !== 'full' || whole === undefined) return points;
  const shares = new Set(all.map(({ keep }) => keep).filter((keep) => keep < whole.x));
  const { y } = whole;
  return [...[0, ...shares].sort((a, b) => a - b).map((x) => ({ x, y, rounds: 0 })), whole];
}

/** 0.5 → 50 %, 0.125 → 12.5 % */
function formatShare(share: number): string {
  return formatPercent(share).replace('.0', '');
}

function show(experiment: Experiment) {
  const { file, request } = experiment;
  const canvas = h('canvas', { role: 'img' });
  const chart = new CurveChart(canvas, () => undefined);
  const all = seriesOf(experiment);
  const rows = all.flatMap((series) => series.rows.map((row) => ({ ...row, name: series.name })));
  const series = all.map((one, i): ChartSeries => ({
    label: strings.seriesName(one.name),
    points: pointsOf(one, rows),
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
      offset === undefined
        ? strings.seriesName(name)
        : `${name} ${strings.behind(formatPercent(offset))}`,
      formatPercent(keep),
      formatCount(examples),
      deviation === undefined
        ? formatPercent(mean)
        : `${formatPercent(mean)} ${strings.deviation(formatPercent(deviation))}`,
    ]),
  );
  const names = series.map(({ label }) => label).join(', ');
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
        formatX: formatShare,
        formatY: formatShare,
        pointTitle: ({ x }) => `${strings.kept}: ${formatShare(x)}`,
      });
    },
  };
}
