import { scaleLinear, scaleLog } from 'd3-scale';
import { html } from './markup';
import type { Markup } from './markup';
import type { Axis, LineChart, Point, Series } from './report';

/** Size in SVG units; the chart fills the page width. */
const width = 720;
const height = 320;
const margin = { top: 12, right: 32, bottom: 44, left: 64 };
const pointRadius = 3;
/** Maximum number of points drawn with markers. Longer series are lines only. */
const maxPoints = 60;
const wantedTicks = 6;

interface Scale {
  (value: number): number;
  ticks(count?: number): number[];
  tickFormat(count?: number): (value: number) => string;
}

/** Draws one line per series, with distinct colors and dashes, and a legend below. */
export function drawLines({ caption, x, y, series }: LineChart): Markup {
  const shown = series.map((one) => ({
    ...one,
    points: one.points.filter((point) => isShown(point.x, x) && isShown(point.y, y)),
  }));
  const points = shown.flatMap((one) => one.points);
  const across = createScale(
    x,
    points.map((point) => point.x),
    [margin.left, width - margin.right],
  );
  const up = createScale(y, points.flatMap(spreadEnds), [height - margin.bottom, margin.top]);
  const [acrossText, upText] = [
    x.format ?? across.tickFormat(wantedTicks),
    y.format ?? up.tickFormat(wantedTicks),
  ];
  return html`<figure>
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${caption}">
      ${tickValues(up, y).map((value) => html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${round(up(value))}" y2="${round(up(value))}" /><text class="tick" x="${margin.left - 6}" y="${round(up(value) + 4)}" text-anchor="end">${upText(value)}</text>`)}
      ${tickValues(across, x).map((value) => html`<text class="tick" x="${round(across(value))}" y="${height - margin.bottom + 18}" text-anchor="middle">${acrossText(value)}</text>`)}
      <text
        class="title"
        x="${(margin.left + width - margin.right) / 2}"
        y="${height - 6}"
        text-anchor="middle"
      >
        ${x.title}
      </text>
      <text
        class="title"
        transform="rotate(-90)"
        x="${-(height - margin.bottom + margin.top) / 2}"
        y="14"
        text-anchor="middle"
      >
        ${y.title}
      </text>
      ${shown.map((one, i) => drawSeries(one, i, across, up))}
    </svg>
    <figcaption>
      ${caption}
      <ul class="legend">
        ${shown.map(
          ({ name }, i) =>
            html`<li>
              <svg viewBox="0 0 28 8" aria-hidden="true">
                <path class="line ${seriesClass(i)}" d="M0 4H28" /></svg
              >${name}
            </li>`,
        )}
      </ul>
    </figcaption>
  </figure>`;
}

function drawSeries({ points }: Series, index: number, across: Scale, up: Scale): Markup {
  const at = ({ x, y }: Point): string => `${round(across(x))} ${round(up(y))}`;
  const path = points.map((point, i) => `${i === 0 ? 'M' : 'L'}${at(point)}`).join('');
  const spreads = points
    .filter(({ spread = 0 }) => spread > 0)
    .map((point) => {
      const [bottom = 0, top = 0] = spreadEnds(point).map((end) => round(up(end)));
      return `M${round(across(point.x))} ${bottom}V${top}`;
    });
  const marks =
    points.length > maxPoints
      ? []
      : points.map(
          ({ x, y }) =>
            html`<circle cx="${round(across(x))}" cy="${round(up(y))}" r="${pointRadius}" />`,
        );
  return html`<g class="${seriesClass(index)}"
    ><path class="line" d="${path}" /><path class="spread" d="${spreads.join('')}" />${marks}</g
  >`;
}

function createScale(axis: Axis, values: readonly number[], range: [number, number]): Scale {
  const domain = [Math.min(...values), Math.max(...values)];
  return axis.isLogarithmic === true
    ? scaleLog().domain(domain).range(range).nice()
    : scaleLinear().domain(domain).range(range).nice();
}

/** Tick positions of an axis. */
const tickValues = (scale: Scale, { isWhole }: Axis): number[] =>
  scale.ticks(wantedTicks).filter((value) => isWhole !== true || Number.isInteger(value));

const isShown = (value: number, { isLogarithmic }: Axis): boolean =>
  Number.isFinite(value) && (isLogarithmic !== true || value > 0);

const spreadEnds = ({ y, spread = 0 }: Point): [number, number] => [y - spread, y + spread];

const seriesClass = (index: number): string => `series-${index % 6}`;

const round = (value: number): number => Math.round(10 * value) / 10;
