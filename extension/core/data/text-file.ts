import { extname } from 'node:path';
import { withRegularFile, readWholeFile } from '../regular-file';
import { UserError } from '../user-error';
import { say } from '../message';
import type { ErrorSubject } from '../user-error';
import { parseJsonText } from '../parse-json';

/** Start of a text, or all of it. */
export interface TextPart {
  readonly text: string;
  /** True if the text is complete. */
  readonly whole: boolean;
}

/** Separator between .jsonl lines that are read as one text. */
const separator = '\n\n';
/** Maximum text size in bytes, slightly below V8's maximum string length. */
export const maxTextBytes = 256 * 1024 * 1024;

/**
 * Reads the first `bytes` of a text file, or of a .jsonl file of {"text": …} lines, cut between characters (lines).
 * @throws UserError if the file is missing or not UTF-8, or has an invalid line.
 */
export async function readTextPart(file: string, bytes: number): Promise<TextPart> {
  const { data, whole } = await readBytes(file, bytes);
  const text = decode(data, whole, file);
  return {
    text: extname(file).toLowerCase() === '.jsonl' ? joinLines(text, whole, file) : text,
    whole,
  };
}

/** Reads a whole text file, as {@link readTextPart} does. */
export async function readText(file: string): Promise<string> {
  const { text, whole } = await readTextPart(file, maxTextBytes);
  if (!whole) {
    throw new UserError(
      'text-too-large',
      say`The text has more than ${maxTextBytes / 2 ** 20} MiB.`,
      { file, remedy: say`Choose a shorter text.` },
    );
  }
  return text;
}

async function readBytes(file: string, bytes: number): Promise<{ data: Buffer; whole: boolean }> {
  return withRegularFile(file, async ({ handle, size }) => {
    const data = Buffer.alloc(Math.min(bytes, maxTextBytes, size));
    const { bytesRead } = await handle.read(data, 0, data.length, 0);
    return { data: data.subarray(0, bytesRead), whole: bytesRead === size };
  });
}

function decode(data: Buffer, whole: boolean, file: string): string {
  try {
    // With `stream`, a character split by the cut is dropped instead of causing an error.
    return new TextDecoder('utf-8', { fatal: true }).decode(data, { stream: !whole });
  } catch {
    throw new UserError('text-not-utf8', say`The text is not UTF-8.`, {
      file,
      remedy: say`Save it with the encoding UTF-8.`,
    });
  }
}

function joinLines(text: string, whole: boolean, file: string): string {
  const lines = text.split('\n');
  if (!whole) {
    lines.pop();
  }
  return lines
    .flatMap((line, i) => (line.trim() === '' ? [] : [lineText(line, i + 1, file)]))
    .join(separator);
}

/**
 * Parses a line of JSON.
 * @param subject file, line (as field) and expected format, for errors
 * @throws UserError about the subject.
 */
export function parseJsonLine(line: string, subject: ErrorSubject): unknown {
  try {
    return parseJsonText(line);
  } catch (error) {
    throw new UserError(
      'line-not-json',
      say`The line is not JSON: ${(error as Error).message}.`,
      subject,
    );
  }
}

/**
 * Parses a line of JSON that must be an object.
 * @throws UserError about the subject.
 */
export function parseObjectLine(
  line: string,
  subject: ErrorSubject,
): Readonly<Record<string, unknown>> {
  const value = parseJsonLine(line, subject);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError('line-not-object', say`The line is not an object.`, subject);
  }
  return value as Record<string, unknown>;
}

function lineText(line: string, number: number, file: string): string {
  const subject = {
    file,
    field: `line ${number}`,
    remedy: say`Every line must be an object with a "text", such as {"text": "…"}.`,
  };
  const text = (parseJsonLine(line, subject) as { text?: unknown } | null)?.text;
  if (typeof text !== 'string') {
    throw new UserError('line-without-text', say`The line has no "text".`, subject);
  }
  return text;
}

/** Maximum size of a text table in bytes, slightly below the maximum string length. */
const maxTableBytes = 256 * 1024 * 1024;

/** Maximum number of lines in a table. Each line needs at least about a hundred bytes of objects. */
const maxTableLines = 4_000_000;
/** Maximum number of lines in a task. */
export const maxTaskLines = 1_000_000;

/** @throws UserError if a text has more lines. */
export function requireFewLines(text: string, most: number, file: string): void {
  let lines = 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    lines++;
  }
  if (lines > most) {
    throw new UserError('lines-too-many', say`The file has ${lines} lines, more than ${most}.`, {
      file,
      remedy: say`Save it as Parquet, or a part of it.`,
    });
  }
}

/** Reads a text table without its byte order mark. */
export async function readTable(file: string): Promise<string> {
  const bytes = await readWholeFile(file, maxTableBytes, say`Save it as Parquet, or a part of it.`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError('text-not-utf8', say`The file is not UTF-8 text.`, {
      file,
      remedy: say`Save it with the encoding UTF-8.`,
    });
  }
  requireFewLines(text, maxTableLines, file);
  return text;
}
