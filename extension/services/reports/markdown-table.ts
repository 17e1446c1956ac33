/** A Markdown table; columns whose heading ends in `:` stand to the right, as numbers do. */
export function markdownTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const isNumber = headings.map((heading) => heading.endsWith(':'));
  return [
    line(headings.map((heading) => heading.replace(/:$/, ''))),
    line(isNumber.map((number) => (number ? '---:' : ':---'))),
    // A number and its unit stay on one line.
    ...rows.map((row) =>
      line(row.map((cell, column) => (isNumber[column] ? cell.replaceAll(' ', '\u00a0') : cell))),
    ),
  ].join('\n');
}

/** Text that Markdown shows as it is. */
export const escapeMarkdown = (text: string): string =>
  text.replace(/[\\`*_{}[\]<>()#+\-.!|~]/g, '\\$&').replace(/\s+/g, ' ');

/** A share as a bar of ten cells. */
export const shareBar = (share: number): string => {
  const full = Math.round(Math.max(0, Math.min(1, share)) * 10);
  return '█'.repeat(full) + '░'.repeat(10 - full);
};
