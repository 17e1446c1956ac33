import { readdir, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';

const prefixOf = (path: string): string => `.${basename(path)}.espalier-partial-`;

/** Where a file or folder is written until it is whole: hidden beside its place, named by this process. */
export function partialOf(path: string): string {
  return join(dirname(path), `${prefixOf(path)}${process.pid}`);
}

/** Removes what processes that were killed have left of a file or folder; a running one's is kept. */
export async function removeStale(path: string): Promise<void> {
  const parent = dirname(path);
  const prefix = prefixOf(path);
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN;
    if (Number.isInteger(pid) && !isRunning(pid)) {
      await rm(join(parent, name), { recursive: true });
    }
  }
}

/** Removes folders that were made for something that is not kept, as far as they are empty. */
export async function removeEmptyParents(
  parent: string,
  outermost: string | undefined,
): Promise<void> {
  for (let folder = parent; outermost !== undefined; folder = dirname(folder)) {
    const removed = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!removed || folder === outermost) {
      return;
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
