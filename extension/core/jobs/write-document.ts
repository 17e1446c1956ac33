import { writeFile, rename, rm } from 'node:fs/promises';
import { UserError } from '../user-error';
import { englishInJson, say } from '../message';
import { partialPath, releaseHidden, removeStale } from './partial';

/**
 * Writes a JSON document atomically: readers see the old one or the new one, never a part.
 * @throws UserError if the folder is not writable.
 */
export async function writeDocument(path: string, document: unknown): Promise<void> {
  await writeText(path, `${JSON.stringify(document, englishInJson, 2)}\n`);
}

/**
 * Writes a file, or a folder that doesn't exist yet, atomically: readers see the old version or the new one, never a
 * part. write-file-atomic needs the whole content in memory, but weights are streamed.
 * @param write writes the file or folder at the path that it is passed
 */
export async function replaceFile(
  path: string,
  write: (partial: string) => Promise<void>,
): Promise<void> {
  const partial = partialPath(path);
  try {
    await removeStale(path).catch(() => undefined);
    await write(partial);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  } finally {
    releaseHidden(partial);
  }
}

/**
 * Writes a file atomically.
 * @throws UserError if the folder is not writable.
 */
export async function writeText(path: string, text: string | Uint8Array): Promise<void> {
  try {
    await replaceFile(path, async (partial) => writeFile(partial, text));
  } catch (error) {
    throw new UserError(
      'document-not-writable',
      say`The document cannot be written: ${(error as Error).message}.`,
      {
        file: path,
        remedy: say`Choose an output in a folder that can be written to, with space left.`,
      },
    );
  }
}
