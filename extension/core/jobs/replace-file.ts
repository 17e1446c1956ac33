import { rename, rm } from 'node:fs/promises';
import { partialPath, releaseHidden, removeStale } from './partial';

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
