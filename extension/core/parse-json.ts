import { formatBytes } from './format';
import { UserError } from './user-error';
import { inEnglish, say } from './message';
import type { Message } from './message';
import { applyEdits, modify } from 'jsonc-parser';
import type { FormattingOptions } from 'jsonc-parser';

/** Far more than any file of a model has; a recursive walk of deeper values could overflow the stack. */
const mostLevels = 500;
/** Most memory of parsed values, in bytes, by the estimate of {@link measureJson}. */
const mostBytes = 2 ** 28;
/** Most characters of all strings together: parsing copies them while the file and its text are still in memory. */
const mostCharacters = 2 ** 26;
/** Memory of a parsed value in V8, in bytes, without the text of strings. */
const bytesPer = { container: 64, field: 80, value: 8 } as const;

/** Counts of a JSON text, taken before it is parsed. */
export interface JsonMeasure {
  readonly levels: number;
  /** Number of `"name":` in all objects. */
  readonly fields: number;
  /** Estimated memory of the parsed values, in bytes, without the text of strings. */
  readonly bytes: number;
  /** Characters of all strings, as they are written. */
  readonly characters: number;
}

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a] as const;
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

/**
 * Counts levels, fields and values of a JSON text in one pass, without allocating. The text may be malformed. Stops
 * when a limit is exceeded.
 */
export function measureJson(text: string): JsonMeasure {
  let [level, levels, fields, bytes, characters] = [0, 0, 0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    if (levels > mostLevels || bytes > mostBytes || characters > mostCharacters) {
      break;
    }
    const code = text.charCodeAt(i);
    if (code === quote) {
      const end = findStringEnd(text, i);
      characters += end - i - 1;
      i = end;
    } else if (code === comma) {
      bytes += bytesPer.value;
    } else if (code === colon) {
      fields++;
      bytes += bytesPer.field;
    } else if (code === openList || code === openObject) {
      bytes += bytesPer.container;
      level++;
      levels = Math.max(levels, level);
    } else if (code === closeList || code === closeObject) {
      level--;
    }
  }
  return { levels, fields, bytes, characters };
}

/** Index of the quote that ends the string that begins at `start`; the text's length if none does. */
function findStringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) {
      before--;
    }
    // An even number of backslashes escapes only themselves.
    if ((end - before) % 2 === 1) {
      return end;
    }
  }
  return text.length;
}

/** Thrown for JSON that would take too much memory or stack. */
class JsonLimitError extends Error {
  public constructor(public readonly problem: Message) {
    super(inEnglish(problem).replace(/\.$/, ''));
  }
}

/**
 * `JSON.parse` for text from a file: checks nesting and size before anything is allocated.
 * @param revive replaces parsed values, as for `JSON.parse`
 * @throws Error if the text isn't JSON, is nested too deep, or has too many values or too long strings
 */
export function parseJsonText(text: string, revive?: Parameters<typeof JSON.parse>[1]): unknown {
  const { levels, bytes, characters } = measureJson(text);
  if (levels > mostLevels) {
    throw new JsonLimitError(say`The file has more than ${mostLevels} levels of nesting.`);
  }
  if (bytes > mostBytes) {
    throw new JsonLimitError(
      say`Its values take more than the ${formatBytes(mostBytes)} of memory that is allowed.`,
    );
  }
  if (characters > mostCharacters) {
    throw new JsonLimitError(
      say`Its strings have more than the ${mostCharacters} characters allowed.`,
    );
  }
  return JSON.parse(text, revive);
}

/**
 * Parses a JSON text.
 * @throws UserError with the given remedy, if the text isn't JSON, is nested too deep or is too large
 */
export function parseJson(text: string, file: string, remedy: Message): unknown {
  try {
    return parseJsonText(text);
  } catch (error) {
    const [code, problem] =
      error instanceof JsonLimitError
        ? (['json-limit-exceeded', error.problem] as const)
        : (['json-malformed', say`The file is not JSON: ${(error as Error).message}.`] as const);
    throw new UserError(code, problem, { file, remedy });
  }
}

/**
 * Parses a JSON text; returns undefined if it isn't JSON.
 * @param revive replaces parsed values, as for `JSON.parse`
 */
export function parseJsonOrUndefined(
  text: string,
  revive?: Parameters<typeof JSON.parse>[1],
): unknown {
  try {
    return parseJsonText(text, revive);
  } catch {
    return undefined;
  }
}

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
