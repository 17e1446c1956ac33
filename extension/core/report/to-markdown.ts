import { reportMark } from './report';
import type { Figure, Report, Section, Table } from './report';

/** Renders a report as Markdown for pull requests and wikis: facts and tables, no charts. */
export function toMarkdown({ title, facts, sections, origin }: Report): string {
  const parts = [
    `${reportMark}\n# ${escaped(title)}`,
    facts.map(({ name, value }) => `* **${escaped(name)}:** ${escaped(value)}`).join('\n'),
    ...sections.flatMap(describeSection),
    `*${escaped(origin)}*`,
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function describeSection({ title, text = [], figure, table }: Section): string[] {
  const shown = table ?? (figure && heatmapTable(figure));
  return [`## ${escaped(title)}`, ...text.map(escaped), ...(shown ? [describeTable(shown)] : [])];
}

/** Table of a heatmap's values. Line charts have none: their sections contain a table. */
function heatmapTable(figure: Figure): Table | undefined {
  if (figure.kind === 'lines') return undefined;
  const { blocks, lines, format } = figure;
  return {
    columns: [{ title: 'block' }, ...lines.map(({ name }) => ({ title: name, isNumeric: true }))],
    rows: blocks.map((block) => [
      String(block),
      ...lines.map(({ cells }) => {
        const { value = null, text = '' } = cells.get(block) ?? {};
        const number = value === null ? '' : format(value);
        return text === '' ? number : `${number} (${text})`;
      }),
    ]),
  };
}

function describeTable({ columns, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = `|${columns.map(({ isNumeric }) => (isNumeric === true ? '--:' : '---')).join('|')}|`;
  return [line(columns.map(({ title }) => title)), rule, ...rows.map(line)].join('\n');
}

/** Escapes Markdown syntax. */
function escaped(text: string): string {
  return text.replace(/[\\`*_[\]<>|#]/g, '\\$&').replace(/\r?\n/g, ' ');
}
