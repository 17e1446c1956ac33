import { drawLines } from './line-chart';
import { html, Markup } from './markup';
import { logarithmicShares, reportMark } from './report';
import type { Figure, Heatmap, HeatmapCell, Report, Section, Table } from './report';
import { style } from './style';
import { viridis } from './viridis';

/** One file that needs no other: charts inside, light and dark, nothing loaded. */
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

const drawFigure = (figure: Figure): Markup =>
  figure.kind === 'lines' ? drawLines(figure) : drawHeatmap(figure);

function drawTable({ columns, rows }: Table): Markup {
  const classOf = (i: number): Markup | undefined =>
    columns[i]?.isNumeric === true ? new Markup(' class="number"') : undefined;
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${columns.map(({ title }, i) => html`<th scope="col" ${classOf(i)}>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((value, i) => html`<td${classOf(i)}>${value}</td>`)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div>`;
}

function drawHeatmap({ caption, blocks, lines, format }: Heatmap): Markup {
  const cells = lines.flatMap((line) => [...line.cells.values()]);
  const { low, high, shareOf } = logarithmicShares(cells.map(({ value }) => value));
  const cellOf = (cell: HeatmapCell | undefined): Markup => {
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
                ${blocks.map((block) => cellOf(line.cells.get(block)))}
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
