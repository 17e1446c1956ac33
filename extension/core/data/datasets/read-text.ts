import { readWholeFile } from '../../regular-file';
import { UserError } from '../../user-error';
import { say } from '../../message';

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
