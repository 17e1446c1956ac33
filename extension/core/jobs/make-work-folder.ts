import { lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { say } from '../message';
import { UserError } from '../user-error';
import { onPath } from './write-errors';

/**
 * Makes a folder for unfinished work, if it is not there yet. A link of its name may come with a repository and lead
 * anywhere: it is never followed.
 * @throws UserError if it cannot be made, or if something other than a folder has its name.
 */
export async function makeWorkFolder(path: string): Promise<void> {
  await onPath(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path).catch(async (error: unknown) => {
      if ((await lstat(path).catch(() => undefined))?.isDirectory() === true) {
        return;
      }
      throw (error as NodeJS.ErrnoException).code === 'EEXIST'
        ? new UserError(say`A link or file has the name of the folder for unfinished work.`, {
            file: path,
            remedy: say`Remove it, or choose another output.`,
          })
        : error;
    });
  });
}
