import { html, Markup } from './markup';
import { logarithmicShares, reportMark } from './report';
import type {
  Figure,
  Heatmap,
  HeatmapCell,
  Report,
  Section,
  Table,
  Axis,
  LineChart,
  Point,
  Series,
} from './report';
import { viridis } from './viridis';
import { scaleLinear, scaleLog } from 'd3-scale';

/** Renders a report as one self-contained HTML file with inline charts and light and dark themes. It loads nothing. */
export function toHtml({ title, facts, sections, origin }: Report): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        ${new Markup(reportMark)}
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${new Markup(style)}
        </style>
      </head>
      <body>
        <h1>${title}</h1>
        <dl>
          ${facts.map(
            ({ name, value }) =>
              html`<dt>${name}</dt>
                <dd>${value}</dd>`,
          )}
        </dl>
        ${sections.map(drawSection)}
        <footer><p>${origin}</p></footer>
      </body>
    </html> `.text;
}

function drawSection({ title, text = [], figure, table }: Section): Markup {
  return html`<section>
    <h2>${title}</h2>
    ${text.map((paragraph) => html`<p>${paragraph}</p>`)} ${figure && drawFigure(figure)}
    ${
      table &&
      (figure === undefined
        ? drawTable(table)
        : html`<details>
            <summary>${table.title}</summary>
            ${drawTable(table)}
          </details>`)
    }
  </section>`;
}

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

const axisTitle = (text: string, x: number, y: number, degrees: number): Markup =>
  html`<text class="title" transform="rotate(${degrees})" x="${x}" y="${y}" text-anchor="middle"
    >${text}</text
  >`;

/** Draws one line per series, with distinct colors and dashes, and a legend below. */
function drawLines({ caption, x, y, series }: LineChart): Markup {
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
      ${axisTitle(x.title, (margin.left + width - margin.right) / 2, height - 6, 0)}
      ${axisTitle(y.title, -(height - margin.bottom + margin.top) / 2, 14, -90)}
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

const drawFigure = (figure: Figure): Markup =>
  figure.kind === 'lines' ? drawLines(figure) : drawHeatmap(figure);

function drawTable({ columns, rows }: Table): Markup {
  const columnClass = (i: number): Markup | undefined =>
    columns[i]?.isNumeric === true ? new Markup(' class="number"') : undefined;
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${columns.map(({ title }, i) => html`<th scope="col" ${columnClass(i)}>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((value, i) => html`<td${columnClass(i)}>${value}</td>`)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div>`;
}

function drawHeatmap({ caption, blocks, lines, format }: Heatmap): Markup {
  const cells = lines.flatMap((line) => [...line.cells.values()]);
  const { low, high, shareOf } = logarithmicShares(cells.map(({ value }) => value));
  const drawCell = (cell: HeatmapCell | undefined): Markup => {
    if (cell === undefined) return html`<td></td>`;
    const { value, text } = cell;
    if (value === null) return html`<td>${text}</td>`;
    const { color, isLight } = viridis(shareOf(value));
    return html`<td
      title="${format(value)}"
      style="background:rgb(${color.join(' ')});color:${isLight ? '#000' : '#fff'}"
    >
      ${text}
    </td>`;
  };
  const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${viridis(share).color.join(' ')})`);
  return html`<figure>
    <div class="wide">
      <table class="heatmap">
        <thead>
          <tr>
            <td></td>
            ${blocks.map((block) => html`<th scope="col">${block}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${lines.map(
            (line) =>
              html`<tr>
                <th scope="row">${line.name}</th>
                ${blocks.map((block) => drawCell(line.cells.get(block)))}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
    <figcaption>
      ${
        high > low
          ? html`${format(low)}<span
                class="scale"
                style="background:linear-gradient(to right, ${stops.join(', ')})"
              ></span
              >${format(high)}`
          : html`All ${high === 0 ? '0' : format(high)}:`
      }
      ${caption}
    </figcaption>
  </figure>`;
}

/** Series differ in color (Okabe–Ito), lightness and dash. */
const style = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; } dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); } th { color: var(--soft); font-weight: 600; }
td { overflow-wrap: anywhere; } td:first-child { overflow-wrap: break-word; } .number { text-align: right; } td.number { white-space: nowrap; }
figure { margin: 1rem 0; } figcaption, footer { color: var(--soft); font-size: .9rem; }
.heatmap td, .heatmap th { padding: 0; border: 0; text-align: center; font-size: .75rem; }
.heatmap td { min-width: 1.6rem; height: 1.6rem; border: 1px solid var(--page); } .heatmap th[scope=row] { text-align: left; padding-right: .7rem; white-space: nowrap; }
.scale { display: inline-block; width: 8rem; height: .7rem; vertical-align: middle; margin: 0 .4rem; }
.tick, .title { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); stroke-width: .5; }
.line { fill: none; stroke: currentColor; stroke-width: 2; } .spread { stroke: currentColor; } circle { fill: currentColor; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; } .legend svg { width: 28px; height: 8px; margin-right: .4rem; }
.series-0 { color: #0072b2; } .series-1 { color: #c4500a; } .series-2 { color: #007a59; } .series-3 { color: #8250df; } .series-4 { color: #8a6100; } .series-5 { color: #59636e; }
@media (prefers-color-scheme: dark) { .series-0 { color: #56b4e9; } .series-1 { color: #f08c4b; } .series-2 { color: #3fcf9f; } .series-3 { color: #b392f0; } .series-4 { color: #e8c35a; } .series-5 { color: #9198a1; } }
.series-1 .line, .line.series-1 { stroke-dasharray: 8 4; } .series-2 .line, .line.series-2 { stroke-dasharray: 2 3; } .series-3 .line, .line.series-3 { stroke-dasharray: 9 3 2 3; } .series-4 .line, .line.series-4 { stroke-dasharray: 4 4; } .series-5 .line, .line.series-5 { stroke-dasharray: 1 2; }
@media print { body { margin: 0; max-width: none; } details { display: block; } }
`;
