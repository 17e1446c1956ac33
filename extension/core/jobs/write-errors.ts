import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

const remedies: Readonly<Record<string, readonly [problem: Message, remedy: Message]>> = {
  ENOSPC: [say`The disk is full.`, say`Free some space or choose a folder on another disk.`],
  EDQUOT: [
    say`The disk quota is used up.`,
    say`Free some space or choose a folder on another disk.`,
  ],
  EACCES: [say`Permission denied.`, say`Choose a folder that you can write to.`],
  EPERM: [say`Permission denied.`, say`Choose a folder that you can write to.`],
  EROFS: [say`It is on a read-only disk.`, say`Choose a folder on a disk that can be written to.`],
  ENOTDIR: [say`A part of its path is a file.`, say`Choose another output folder.`],
  EBUSY: [
    say`It is in use.`,
    say`Close the program that uses it, or choose another output folder.`,
  ],
};

/** Runs a file operation. A file system error becomes a {@link UserError} that names `path`. */
export async function onPath<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined || error instanceof UserError) {
      throw error;
    }
    const [problem, remedy] = remedies[code] ?? [
      say`${(error as Error).message}.`,
      say`Choose another output folder.`,
    ];
    throw new UserError(problem, { file: path, remedy: say`${remedy} The source is untouched.` });
  }
}
