import { inEnglish } from '../message';
import type { Message } from '../message';
import type { Origin } from '../runtime/origin';

/** Describes the date, the device and the versions of a measurement. */
export function describeOrigin({
  created,
  versions,
  machine,
}: Pick<Origin, 'created' | 'versions'> & Partial<Origin>): string {
  const where = machine === undefined ? '' : `, ${machine.processor}, ${machine.cores} cores`;
  return `Espalier ${versions.espalier}, ONNX Runtime ${versions.onnxruntime}, ${created.slice(0, 10)}${where}`;
}

/** File extensions of reports. */
export const reportSuffixes = ['.html', '.md'] as const;

/** First line of each report, which marks files that a new report may replace. */
export const reportMark = '<!-- A report of Espalier -->';

/** Content of a report, independent of its format (HTML or Markdown). */
export interface Report {
  readonly title: string;
  readonly facts: readonly Fact[];
  readonly sections: readonly Section[];
  /** Line at the end about the source of the measurements. */
  readonly origin: string;
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface Section {
  readonly title: string;
  /** Paragraphs. */
  readonly text?: readonly string[];
  readonly figure?: Figure;
  /** Data of the report or of its figure; shown instead of the figure in formats without charts. */
  readonly table?: Table;
}

export type Figure = LineChart | Heatmap;

export interface Table {
  /** Title of the table, shown if the section also has a figure. */
  readonly title?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

export interface Column {
  readonly title: string;
  /** Numeric columns are right-aligned. */
  readonly isNumeric?: boolean;
}

/** Numeric columns. */
export const numbers = (...titles: readonly string[]): Column[] =>
  titles.map((title) => ({ title, isNumeric: true }));

/** Messages as paragraphs, one sentence each. */
export const sentences = (messages: readonly Message[]): string[] =>
  messages.map((message) => `${inEnglish(message)}.`);

/** Section with a table, or none if there are no rows. */
export function listed(
  title: string,
  columns: readonly Column[],
  rows: Table['rows'],
): readonly Section[] {
  return rows.length === 0 ? [] : [{ title, table: { columns, rows } }];
}

/** Section that lists ids of sublayers. */
export const listedIds = (title: string, ids: readonly string[]): readonly Section[] =>
  listed(
    title,
    [{ title: 'sublayer' }],
    ids.map((id) => [id]),
  );

/** Series of points over two axes. */
export interface LineChart {
  readonly kind: 'lines';
  /** One sentence about the chart. */
  readonly caption: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  readonly title: string;
  /** Format of tick labels. By default, the fewest digits that distinguish them. */
  readonly format?: (value: number) => string;
  /** True if only integers are valid tick values. */
  readonly isWhole?: boolean;
  /** True for a logarithmic scale, which omits values ≤ 0. */
  readonly isLogarithmic?: boolean;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Standard deviation of `y`, if known. */
  readonly spread?: number;
}

/** Values by block (columns) and line (rows, such as kinds of sublayers), on a logarithmic color scale. */
export interface Heatmap {
  readonly kind: 'heatmap';
  readonly caption: string;
  readonly blocks: readonly number[];
  readonly lines: readonly HeatmapLine[];
  readonly format: (value: number) => string;
}

export interface HeatmapLine {
  readonly name: string;
  readonly cells: ReadonlyMap<number, HeatmapCell>;
}

/** Value of a cell, or null if not measured, and its label. */
export interface HeatmapCell {
  readonly value: number | null;
  readonly text: string;
}

/** Maps values to 0 … 1 on a logarithmic scale between the smallest and the largest. */
export function logarithmicShares(values: readonly (number | null)[]): {
  readonly low: number;
  readonly high: number;
  /** Returns 0 for values ≤ 0. */
  readonly shareOf: (value: number | null) => number;
} {
  const known = values.flatMap((value) => (value !== null && value > 0 ? [Math.log(value)] : []));
  if (known.length === 0) {
    return { low: 0, high: 0, shareOf: () => 0 };
  }
  const low = Math.min(...known);
  const high = Math.max(...known);
  return {
    low: Math.exp(low),
    high: Math.exp(high),
    shareOf: (value) =>
      value === null || value <= 0 ? 0 : (Math.log(value) - low) / (high - low || 1),
  };
}
