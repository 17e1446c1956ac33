/** Formats a Markdown table. Columns whose heading ends in `:` are right-aligned, for numbers. */
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

/** Escapes text for Markdown. */
export const escapeMarkdown = (text: string): string =>
  text.replace(/[\\`*_{}[\]<>()#+\-.!|~]/g, '\\$&').replace(/\s+/g, ' ');

/** Bar of ten characters for a share. */
export const shareBar = (share: number): string => {
  const full = Math.round(Math.max(0, Math.min(1, share)) * 10);
  return '█'.repeat(full) + '░'.repeat(10 - full);
};
