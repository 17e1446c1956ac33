import { printable } from '../core/printable';
import type { Terminal } from './terminal';

/** Prints rows under headings: the first column to the left, the others to the right. */
export function printTable(
  terminal: Terminal,
  headings: readonly string[],
  texts: readonly (readonly string[])[],
): void {
  const rows = texts.map((row) => row.map(printable));
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of [headings, widths.map((width) => '─'.repeat(width)), ...rows]) {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    terminal.print(cells.join('  ').trimEnd());
  }
}
