import { writeFile, rename, rm } from 'node:fs/promises';
import { UserError } from '../user-error';
import { englishInJson, say } from '../message';
import { partialPath, releaseHidden, removeStale } from './partial';
import type { ErrorCode } from '../error-codes';
import type { Message } from '../message';

/**
 * Writes a JSON document atomically: readers see the old one or the new one, never a part.
 * @throws UserError if the folder is not writable.
 */
export async function writeDocument(path: string, document: unknown): Promise<void> {
  await writeText(path, `${JSON.stringify(document, englishInJson, 2)}\n`);
}

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

/**
 * Writes a file atomically.
 * @throws UserError if the folder is not writable.
 */
export async function writeText(path: string, text: string | Uint8Array): Promise<void> {
  try {
    await replaceFile(path, async (partial) => writeFile(partial, text));
  } catch (error) {
    const problem = say`The document cannot be written: ${(error as Error).message}.`;
    throw notWritable('document-not-writable', problem, path);
  }
}

/** Error of a document or journal that can't be written. */
export const notWritable = (code: ErrorCode, problem: Message, file: string): UserError =>
  new UserError(code, problem, {
    file,
    remedy: say`Choose an output in a folder that can be written to, with space left.`,
  });

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
    say`A parent folder in its path is a file.`,
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
