import { readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { UserError } from '../user-error';
import { say } from '../message';

/** Maximum number of files in a folder. */
const maxFiles = 1_000_000;

/**
 * Lists all files of a folder and its subfolders, except hidden ones, in a platform-independent order.
 * @throws UserError if there are too many.
 */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  if (entries.length > maxFiles) {
    throw new UserError('files-too-many', say`The folder has more than ${maxFiles} files.`, {
      file: folder,
      remedy: say`Choose a folder with fewer files.`,
    });
  }
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort(byPath(sep));
}

/** Compares paths as if written with `/`, since fingerprints depend on the order. */
export function byPath(separator: string): (a: string, b: string) => number {
  const portable = (path: string): string => path.split(separator).join('/');
  return (a, b) => (portable(a) < portable(b) ? -1 : 1);
}
