import { lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { say } from '../message';
import { UserError } from '../user-error';
import { onPath } from './write-errors';

/**
 * Creates a folder for unfinished work if it doesn't exist. A symbolic link of this name may be part of a repository
 * and point anywhere, so it is never followed.
 * @throws UserError if it cannot be created, or if something other than a folder has its name.
 */
export async function makeWorkFolder(path: string): Promise<void> {
  await onPath(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path).catch(async (error: unknown) => {
      if ((await lstat(path).catch(() => undefined))?.isDirectory() === true) {
        return;
      }
      throw (error as NodeJS.ErrnoException).code === 'EEXIST'
        ? new UserError(
            'work-folder-taken',
            say`A link or a file has the name of the folder for unfinished work.`,
            {
              file: path,
              remedy: say`Remove it, or choose another output.`,
            },
          )
        : error;
    });
  });
}
