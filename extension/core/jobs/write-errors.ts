import { UserError } from '../user-error';
import type { ErrorCode } from '../error-codes';
import { say } from '../message';
import type { Message } from '../message';

/** Code, problem and remedy by the system's error code. */
const remedies: Readonly<
  Record<string, readonly [code: ErrorCode, problem: Message, remedy: Message]>
> = {
  ENOSPC: [
    'disk-full',
    say`The disk is full.`,
    say`Free some space or choose a folder on another disk.`,
  ],
  EDQUOT: [
    'disk-quota-used',
    say`The disk quota is used up.`,
    say`Free some space or choose a folder on another disk.`,
  ],
  EACCES: [
    'permission-denied',
    say`Permission denied.`,
    say`Choose a folder that you can write to.`,
  ],
  EPERM: [
    'permission-denied',
    say`Permission denied.`,
    say`Choose a folder that you can write to.`,
  ],
  EROFS: [
    'disk-read-only',
    say`It is on a read-only disk.`,
    say`Choose a folder on a disk that can be written to.`,
  ],
  ENOTDIR: [
    'path-through-file',
    say`A part of its path is a file.`,
    say`Choose another output folder.`,
  ],
  EBUSY: [
    'file-in-use',
    say`It is in use.`,
    say`Close the program that uses it, or choose another output folder.`,
  ],
};

/** Runs a file operation. A file system error becomes a {@link UserError} that names `path`. */
export async function onPath<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    if (reason === undefined || error instanceof UserError) {
      throw error;
    }
    const [code, problem, remedy] = remedies[reason] ?? [
      'write-failed' as const,
      say`${(error as Error).message}.`,
      say`Choose another output folder.`,
    ];
    throw new UserError(code, problem, {
      file: path,
      remedy: say`${remedy} The source is untouched.`,
    });
  }
}
