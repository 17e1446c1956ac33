import { UserError } from '../user-error';

const remedies: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  ENOSPC: ['The disk is full.', 'Free some space or choose a folder on another disk.'],
  EDQUOT: ['The disk quota is used up.', 'Free some space or choose a folder on another disk.'],
  EACCES: ['It may not be written to.', 'Choose a folder that you may write to.'],
  EPERM: ['It may not be written to.', 'Choose a folder that you may write to.'],
  EROFS: ['It lies on a read-only disk.', 'Choose a folder on a disk that can be written to.'],
  ENOTDIR: ['A part of its path is a file.', 'Choose another output folder.'],
  EBUSY: ['It is in use.', 'Close what uses it, or choose another output folder.'],
};

/** Runs a file operation; a failure of the file system becomes a {@link UserError} that names `path`. */
export async function onPath<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined || error instanceof UserError) {
      throw error;
    }
    const [problem, remedy] = remedies[code] ?? [
      `${(error as Error).message}.`,
      'Choose another output folder.',
    ];
    throw new UserError(problem, { file: path, remedy: `${remedy} The source is untouched.` });
  }
}
