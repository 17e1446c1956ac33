import { inEnglish } from '../message';
import type { Message } from '../message';

/** Ends of the names that reports have. */
export const reportSuffixes = ['.html', '.md'] as const;

/** A comment at the beginning of each report, by which it may be replaced by another. */
export const reportMark = '<!-- A report of Espalier -->';

/** What a report says, whatever it is written as: HTML and Markdown are made of it. */
export interface Report {
  readonly title: string;
  readonly facts: readonly Fact[];
  readonly sections: readonly Section[];
  /** How it came about, in a line at the end. */
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
  /** Also what stands for a chart where none can be drawn. */
  readonly table?: Table;
}

export type Figure = LineChart | Heatmap;

export interface Table {
  /** What it lists, where it stands below a figure. */
  readonly title?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

export interface Column {
  readonly title: string;
  /** Numbers stand at the right. */
  readonly isNumeric?: boolean;
}

/** Paragraphs of a sentence each. */
export const sentences = (messages: readonly Message[]): string[] =>
  messages.map((message) => `${inEnglish(message)}.`);

/** A list under a heading, or nothing where it is empty. */
export function listed(
  title: string,
  columns: readonly Column[],
  rows: Table['rows'],
): readonly Section[] {
  return rows.length === 0 ? [] : [{ title, table: { columns, rows } }];
}

/** Series of points over two axes. */
export interface LineChart {
  readonly kind: 'lines';
  /** Says in a sentence what it shows. */
  readonly caption: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  readonly title: string;
  /** Numbers that stand at the axis; as few digits as tell them apart where absent. */
  readonly format?: (value: number) => string;
  /** Whether only whole numbers mean something. */
  readonly isWhole?: boolean;
  /** A logarithmic axis leaves out what is not above 0. */
  readonly isLogarithmic?: boolean;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Standard deviation of `y`, where it is known. */
  readonly spread?: number;
}

/** Values of blocks against lines, such as kinds of sublayers, coloured by their logarithms. */
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

/** Its value, or null where nothing was measured, and what is written into it. */
export interface HeatmapCell {
  readonly value: number | null;
  readonly text: string;
}

/** The share of a value between the smallest and the largest, by their logarithms: 0 to 1. */
export function logarithmicShares(values: readonly (number | null)[]): {
  readonly low: number;
  readonly high: number;
  /** 0 for what is not above 0. */
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
