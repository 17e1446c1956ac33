import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { CancelledError, checkpoint } from '../../jobs/job';
import { partialPath, releaseHidden, removeEmptyParents, removeStale } from '../../jobs/partial';
import { UserError } from '../../user-error';
import type { Dataset } from './dataset';
import type { PartContext, Relabeled } from './write-part';
import { say } from '../../message';

/**
 * Writes a subset of a dataset to a new folder, in the dataset's own format. The folder is written atomically.
 * @param relabeled new classes of examples; the dataset itself is not changed
 * @returns files written
 * @throws UserError if the folder is not empty or can't be written; CancelledError.
 */
export async function exportPart(
  dataset: Dataset,
  indices: Int32Array,
  folder: string,
  context: PartContext,
  relabeled: Relabeled = new Map(),
): Promise<string[]> {
  const found = await readdir(folder).catch((): string[] => []);
  if (found.length > 0) {
    throw new UserError('folder-not-empty', say`The folder is not empty.`, {
      file: folder,
      remedy: say`Choose a new folder.`,
    });
  }
  const parent = dirname(folder);
  const partial = partialPath(folder);
  let madeParent: string | undefined;
  try {
    madeParent = await mkdir(parent, { recursive: true });
    await removeStale(folder);
    await mkdir(partial);
    const files = await dataset.writePart(indices, partial, context, relabeled);
    await checkpoint(context.cancellation);
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    return files.map((file) => join(folder, relative(partial, file)));
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    await removeEmptyParents(parent, madeParent);
    throw error instanceof UserError || error instanceof CancelledError
      ? error
      : new UserError(
          'examples-not-writable',
          say`The examples cannot be written: ${(error as Error).message}.`,
          {
            file: folder,
            remedy: say`Choose a folder that can be written to, with space left.`,
          },
        );
  } finally {
    releaseHidden(partial);
  }
}
