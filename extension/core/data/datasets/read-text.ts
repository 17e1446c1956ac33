import { readWholeFile } from '../../checkpoints/regular-file';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Most bytes of a table in one text: the longest string is not much longer. */
const maxTableBytes = 256 * 1024 * 1024;

/** Reads a text file with a table, without a byte order mark. */
export async function readTable(file: string): Promise<string> {
  const bytes = await readWholeFile(file, maxTableBytes, say`Save it as Parquet, or a part of it.`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(say`The file is not UTF-8 text.`, {
      file,
      remedy: say`Save it with the encoding UTF-8.`,
    });
  }
}
