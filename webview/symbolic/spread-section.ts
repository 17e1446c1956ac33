import type { Level } from '../charts/scatter-chart';
import { ScatterChart } from '../charts/scatter-chart';
import { h, setAttribute, setChildren, setText, svg } from '../dom';
import { formatCount, formatPercent } from '../format';
import { folded, scrollingTable, section } from '../simple-table';
import { accuracyRange, meanOf, modelAt, spreadPoints } from './population';
import type { SpreadPoint } from './population';
import { strings } from './strings';
import type { Evolution, Iteration, Place } from './types';

export interface SpreadSection {
  readonly element: HTMLElement;
  update(evolution: Evolution): void;
  /** Puts a ring around the point of a model. */
  select(place: Place | undefined): void;
  recolor(): void;
}

interface NamedLevel extends Level {
  readonly name: string;
}

/** How accurate the networks of each iteration are, beside what needs no graph. */
export function createSpreadSection(pick: (place: Place) => void): SpreadSection {
  const canvas = h('canvas', {
    role: 'application',
    tabindex: 0,
    'aria-describedby': 'spread-hint',
  });
  const visited = h('p', { class: 'muted visited', role: 'status' });
  const legend = h('ul', { class: 'legend' });
  const table = h('div');
  let points: readonly SpreadPoint[] = [];
  let evolution: Evolution | undefined;
  const placeOf = (index: number) => points.find((point) => point.index === index)?.place;
  const chart = new ScatterChart(canvas, {
    visit: ({ index, y }) => {
      const place = placeOf(index);
      const model = place && evolution && modelAt(evolution, place);
      if (place === undefined || model === undefined) return;
      setText(visited, strings.visited(place.iteration + 1, model.name, formatPercent(y)));
    },
    pick: ({ index }) => {
      const place = placeOf(index);
      if (place !== undefined) pick(place);
    },
  });
  return {
    element: section(
      'spread-title',
      strings.spread,
      legend,
      h('div', { class: 'chart-box medium' }, canvas),
      visited,
      h('p', { class: 'muted', id: 'spread-hint' }, strings.spreadHint),
      table,
    ),
    select: (place) => {
      const point = points.find(
        (one) => one.place.iteration === place?.iteration && one.place.model === place.model,
      );
      chart.ring(point?.index);
    },
    recolor: () => {
      chart.recolor();
    },
    update: (next) => {
      evolution = next;
      points = spreadPoints(next);
      const levels = levelsOf(next);
      const { iterations, settings } = next;
      const keptAt = ({ place }: SpreadPoint) => modelAt(next, place)?.kept === true;
      setChildren(legend, [
        pointItem('blue', 'circle', strings.graphs),
        pointItem('green', 'triangle', strings.keptGraphs),
        ...levels.map(levelItem),
      ]);
      const parts = iterations.flatMap(({ spread }, i) =>
        spread === undefined
          ? []
          : [
              strings.spreadPart(
                i + 1,
                formatPercent(spread.mean),
                formatPercent(spread.least),
                formatPercent(spread.most),
              ),
            ],
      );
      const lines = levels.map(({ name }) => `${name}.`);
      setAttribute(canvas, 'aria-label', strings.spreadLabel([...parts, ...lines].join(' ')));
      chart.show({
        series: [
          {
            label: strings.graphs,
            color: 'blue',
            marker: 'circle',
            points: points.filter((point) => !keptAt(point)),
          },
          {
            label: strings.keptGraphs,
            color: 'green',
            marker: 'triangle',
            points: points.filter(keptAt),
          },
        ],
        titles: { x: strings.iteration, y: strings.accuracy },
        format: formatPercent,
        formatX: (value) => String(Math.round(value)),
        // Not whole numbers apart, so that chart.js numbers the iterations rather than from the edge on.
        rangeX: { min: 0.4, max: settings.iterations + 0.6, step: 1 },
        rangeY: accuracyRange([...points.map(({ y }) => y), ...levels.map(({ y }) => y)]),
        levels,
        whiskers: iterations.flatMap(({ spread }, i) =>
          spread === undefined
            ? []
            : [{ x: i + 1, mean: spread.mean, deviation: spread.deviation ?? 0 }],
        ),
        pointTitle: ({ index }) => {
          const place = placeOf(index);
          return (place && modelAt(next, place)?.name) ?? '';
        },
      });
      setChildren(table, [numbers(iterations)]);
    },
  };
}

function levelsOf({ lines, baselines }: Evolution): NamedLevel[] {
  const mean = meanOf(baselines.map(({ test }) => test));
  return [
    ...(baselines.length === 0
      ? []
      : [
          {
            y: mean,
            color: 'purple' as const,
            dash: [],
            name: strings.baselineLine(formatPercent(mean), baselines.length),
          },
        ]),
    ...(lines === undefined
      ? []
      : [
          {
            y: lines.test.majority,
            color: 'yellow' as const,
            dash: [8, 4],
            name: strings.majorityLine(formatPercent(lines.test.majority)),
          },
          {
            y: lines.test.shortcut,
            color: 'red' as const,
            dash: [2, 3],
            name: strings.shortcutLine(formatPercent(lines.test.shortcut)),
          },
        ]),
  ];
}

function pointItem(color: string, marker: string, name: string): HTMLElement {
  return h('li', {}, h('span', { class: `dot ${color} ${marker}`, 'aria-hidden': 'true' }), name);
}

function levelItem({ color, dash, name }: NamedLevel): HTMLElement {
  const line = svg(
    'svg',
    { class: `line ${color}`, viewBox: '0 0 28 8', 'aria-hidden': 'true' },
    svg('path', { d: 'M0,4 H28', 'stroke-width': 2, 'stroke-dasharray': dash.join(' ') }),
  );
  return h('li', {}, line, name);
}

function percentOrNone(share: number | null | undefined): string {
  return share === null || share === undefined ? strings.none : formatPercent(share);
}

function numbers(iterations: readonly Iteration[]): HTMLElement {
  const number = (title: string) => ({ title, isNumber: true });
  return folded(
    strings.spreadTable,
    false,
    scrollingTable(
      strings.spreadTable,
      [
        { title: strings.iteration },
        ...[strings.programs, strings.graphs, strings.found, strings.replaced].map(number),
        ...[strings.mean, strings.deviation, strings.range, strings.correlation].map(number),
      ],
      iterations.map(({ exploration, spread, correlation, models }, i) => [
        String(i + 1),
        exploration === undefined ? strings.running : formatCount(exploration.enumerated),
        formatCount(models.length),
        exploration === undefined ? strings.none : formatCount(exploration.added),
        exploration === undefined ? strings.none : formatCount(exploration.replaced),
        percentOrNone(spread?.mean),
        percentOrNone(spread?.deviation),
        spread === undefined
          ? strings.none
          : `${formatPercent(spread.least)} – ${formatPercent(spread.most)}`,
        correlation?.toFixed(2) ?? strings.none,
      ]),
    ),
  );
}
