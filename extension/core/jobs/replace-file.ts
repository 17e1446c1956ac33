import { rename, rm } from 'node:fs/promises';
import { partialOf, releaseHidden, removeStale } from './partial';

/**
 * Writes a file, or a folder that is not there yet, so that a reader sees the old one or the new one, never a part. By
 * hand: write-file-atomic takes what is written as a whole in memory, and weights are streamed.
 * @param write writes the path that it is given
 */
export async function replaceFile(
  path: string,
  write: (partial: string) => Promise<void>,
): Promise<void> {
  const partial = partialOf(path);
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
