import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../user-error';

/**
 * Writes a JSON document so that a reader sees the old one or the new one, never a part.
 * @throws UserError when the folder cannot be written to.
 */
export async function writeDocument(path: string, document: unknown): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  try {
    await writeFile(partial, `${JSON.stringify(document, undefined, 2)}\n`);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw new UserError(`The document cannot be written: ${(error as Error).message}.`, {
      file: path,
      remedy: 'Choose an output in a folder that can be written to, with space left.',
    });
  }
}
