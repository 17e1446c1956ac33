import { applyEdits, modify } from 'jsonc-parser';
import type { FormattingOptions } from 'jsonc-parser';

/** A JSON text with a field set, or taken out where the value is undefined; all other text stays as it is. */
export function setField(text: string, path: readonly string[], value: unknown): string {
  const formattingOptions = detectFormatting(text);
  return applyEdits(text, modify(text, [...path], value, { formattingOptions }));
}

function detectFormatting(text: string): FormattingOptions {
  const [, indent = '  '] = /^\s*\{\r?\n([ \t]+)/.exec(text) ?? [];
  return {
    insertSpaces: !indent.startsWith('\t'),
    tabSize: indent.startsWith('\t') ? 1 : indent.length,
    eol: text.includes('\r\n') ? '\r\n' : '\n',
  };
}
