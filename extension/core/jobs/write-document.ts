import { writeFile } from 'node:fs/promises';
import { UserError } from '../user-error';
import { replaceFile } from './replace-file';
import { englishInJson, say } from '../message';

/**
 * Writes a JSON document atomically: readers see the old one or the new one, never a part.
 * @throws UserError if the folder is not writable.
 */
export async function writeDocument(path: string, document: unknown): Promise<void> {
  await writeText(path, `${JSON.stringify(document, englishInJson, 2)}\n`);
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
