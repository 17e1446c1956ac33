import { BarChart } from '../charts/bar-chart';
import { ScatterChart } from '../charts/scatter-chart';
import { h, setAttribute, setChildren, setText } from '../dom';
import { histogramBars, histogramRows, histogramSummary } from '../explorer/histogram';
import { formatCompact, formatCount, formatDistance, formatPercent } from '../format';
import { folded, scrollingTable, section } from '../simple-table';
import type { MapGroup } from './groups';
import { groupsOf } from './groups';
import { strings } from './strings';
import type { Overview } from './types';

export interface ChartSection {
  readonly element: HTMLElement;
  update(overview: Overview): void;
  recolor(): void;
}

/** How often each part of the range of scores occurs. */
export function createHistogramSection(): ChartSection {
  const canvas = h('canvas', { role: 'img' });
  const box = h('div', { class: 'chart-box medium' }, canvas);
  const note = h('p', { class: 'muted' });
  const table = h('div');
  const chart = new BarChart(canvas);
  return {
    element: section('histogram-title', strings.histogram, box, note, table),
    recolor: () => {
      chart.recolor();
    },
    update: ({ histogram, score }) => {
      const known = histogram.counts.length > 0;
      box.hidden = !known;
      const infinite =
        histogram.infinite === 0
          ? ''
          : strings.infinite(histogram.infinite, formatCount(histogram.infinite));
      setText(note, known ? infinite : `${strings.noFinite} ${infinite}`);
      note.hidden = note.textContent === '';
      if (!known) {
        setChildren(table, []);
        return;
      }
      const text = strings.histogramLabel(strings.scoreName(score), histogramSummary(histogram));
      setAttribute(canvas, 'aria-label', text);
      chart.show({
        bars: histogramBars(histogram),
        horizontal: false,
        logarithmic: false,
        format: formatCompact,
      });
      setChildren(table, [
        folded(
          strings.histogramNumbers,
          false,
          scrollingTable(
            strings.histogramNumbers,
            [
              { title: strings.from, isNumber: true },
              { title: strings.to, isNumber: true },
              { title: strings.examples, isNumber: true },
            ],
            histogramRows(histogram),
          ),
        ),
      ]);
    },
  };
}

export interface MapSection extends ChartSection {
  /** Puts the keyboard where it was on the map. */
  focus(): void;
}

/**
 * Dataset cartography: mean probability of the label against its deviation.
 * @param pick shows an example
 */
export function createMapSection(pick: (index: number) => void): MapSection {
  // The arrow keys walk from point to point, so that screen readers have to pass them on.
  const canvas = h('canvas', { role: 'application', tabindex: 0, 'aria-describedby': 'map-hint' });
  const box = h('div', { class: 'chart-box medium' }, canvas);
  const visited = h('p', { class: 'visited', role: 'status' });
  const legend = h('ul', { class: 'legend', 'aria-hidden': 'true' });
  const note = h('p', { class: 'muted', id: 'map-hint' });
  const table = h('div');
  let groups: readonly MapGroup[] = [];
  const chart = new ScatterChart(canvas, {
    visit: ({ index, x, y }) => {
      const group = groups.find(({ points }) => points.some((point) => point.index === index));
      const [point, name] = [strings.point(formatCount(index)), group?.name ?? ''];
      setText(visited, strings.visited(point, name, formatDistance(y), formatDistance(x)));
    },
    pick: ({ index }) => {
      setText(visited, '');
      pick(index);
    },
  });
  return {
    element: section('map-title', strings.map, legend, box, visited, note, table),
    focus: () => {
      canvas.focus();
    },
    recolor: () => {
      chart.recolor();
    },
    update: ({ points, mapped, scoring }) => {
      const known = points.length > 0;
      box.hidden = !known;
      legend.hidden = !known;
      setText(note, noteOf(points.length, mapped, scoring));
      setText(visited, '');
      visited.hidden = !known;
      chart.ring(undefined);
      if (!known) {
        setChildren(table, []);
        return;
      }
      groups = groupsOf(points);
      setChildren(legend, groups.map(legendItem));
      const parts = groups.map(({ name, points: members }) =>
        strings.mapGroup(name, formatCount(members.length)),
      );
      setAttribute(canvas, 'aria-label', strings.mapSummary(parts.join(', ')));
      chart.show({
        series: groups.map(({ name, points: members, color, marker }) => ({
          label: name,
          color,
          marker,
          points: members.map(({ index, confidence, variability }) => ({
            index,
            x: variability,
            y: confidence,
          })),
        })),
        titles: { x: strings.variability, y: strings.confidence },
        format: formatDistance,
        pointTitle: ({ index }) => strings.point(formatCount(index)),
      });
      setChildren(table, [groupTable(groups, points.length)]);
    },
  };
}

function noteOf(drawn: number, mapped: number, scoring: Overview['scoring']): string {
  if (drawn === 0) return strings.mapNone;
  const looks = scoring === undefined ? Infinity : scoring.runs * Math.max(1, scoring.epoch);
  return [
    ...(looks < 5 ? [strings.mapOneEpoch] : []),
    ...(drawn < mapped ? [strings.mapSampled(formatCount(drawn), formatCount(mapped))] : []),
    strings.mapHint,
  ].join(' ');
}

function legendItem({ name, color, marker }: MapGroup): HTMLElement {
  return h('li', {}, h('span', { class: `dot ${color} ${marker}` }), name);
}

function groupTable(groups: readonly MapGroup[], total: number): HTMLElement {
  const mean = (values: readonly number[]) =>
    values.length === 0
      ? '–'
      : formatDistance(values.reduce((sum, value) => sum + value, 0) / values.length);
  return folded(
    strings.mapTable,
    false,
    scrollingTable(
      strings.mapTable,
      [
        { title: strings.group },
        { title: strings.examples, isNumber: true },
        { title: strings.share, isNumber: true },
        { title: strings.meanConfidence, isNumber: true },
        { title: strings.meanVariability, isNumber: true },
      ],
      groups.map(({ name, points }) => [
        name,
        formatCount(points.length),
        formatPercent(points.length / Math.max(1, total)),
        mean(points.map(({ confidence }) => confidence)),
        mean(points.map(({ variability }) => variability)),
      ]),
    ),
  );
}
