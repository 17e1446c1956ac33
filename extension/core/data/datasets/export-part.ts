import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import process from 'node:process';
import { UserError } from '../../user-error';
import type { Dataset } from './dataset';

/**
 * Writes some examples of a data set into a new folder, in the data set's own form. The folder appears
 * whole or not at all.
 * @returns the files written
 * @throws UserError when the folder has content already, or cannot be written to.
 */
export async function exportPart(
  dataset: Dataset,
  indices: Int32Array,
  folder: string,
): Promise<string[]> {
  const found = await readdir(folder).catch((): string[] => []);
  if (found.length > 0) {
    throw new UserError('The folder is not empty.', {
      file: folder,
      remedy: 'Choose a new folder.',
    });
  }
  const partial = join(dirname(folder), `.${basename(folder)}.${process.pid}.partial`);
  try {
    await mkdir(partial, { recursive: true });
    const files = await dataset.writePart(indices, partial);
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    return files.map((file) => join(folder, relative(partial, file)));
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw error instanceof UserError
      ? error
      : new UserError(`The examples cannot be written: ${(error as Error).message}.`, {
          file: folder,
          remedy: 'Choose a folder that can be written to, with space left.',
        });
  }
}
