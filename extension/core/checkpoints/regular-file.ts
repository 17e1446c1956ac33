import { open, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError, checkAccess, checkPath } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/** A file that is open for reading. */
export interface RegularFile {
  readonly handle: FileHandle;
  /** Absolute path, links resolved. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Opens a file and closes it after `read`. Pipes and devices, which could be waited for without
 * end, are refused like folders.
 * @throws UserError naming the file when it cannot be opened.
 */
export async function withRegularFile<T>(
  path: string,
  read: (opened: RegularFile) => Promise<T>,
): Promise<T> {
  const file = await realpath(path).catch(() => {
    throw new UserError(say`There is no such file.`, { file: path, remedy: checkPath });
  });
  const { size } = await stat(file).then((found) => {
    if (!found.isFile()) {
      throw new UserError(say`This is not a regular file.`, {
        file: path,
        remedy: say`Choose a file, not a folder, pipe or device.`,
      });
    }
    return found;
  });
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw new UserError(say`The file cannot be read: ${(error as Error).message}.`, {
      file: path,
      remedy: checkAccess,
    });
  });
  try {
    return await read({ handle, file, size });
  } finally {
    await handle.close();
  }
}

/**
 * Reads a whole file of at most `most` bytes into memory of its own.
 * @param remedy what to do about a larger file
 * @throws UserError naming the file when it is missing or larger.
 */
export async function readWholeFile(path: string, most: number, remedy: Message): Promise<Buffer> {
  return withRegularFile(path, async ({ handle, size }) => {
    if (size > most) {
      throw new UserError(say`The file has ${size} bytes, more than the ${most} expected.`, {
        file: path,
        remedy,
      });
    }
    const bytes = Buffer.alloc(size);
    let end = 0;
    for (let read = 1; read > 0 && end < size; end += read) {
      const length = Math.min(readBytesAtOnce, size - end);
      ({ bytesRead: read } = await handle.read(bytes, end, length, end));
    }
    return bytes.subarray(0, end);
  });
}

/** A single read takes less than 2 GiB. */
const readBytesAtOnce = 2 ** 30;
/** Longest text that {@link readSmallText} reads, in bytes. */
const maxTextBytes = 100_000_000;

/**
 * Reads a whole text file that is expected to be small.
 * @throws UserError naming the file when it is missing, too large or not UTF-8.
 */
export async function readSmallText(path: string): Promise<string> {
  const bytes = await readWholeFile(path, maxTextBytes, say`Choose a smaller file.`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(say`The file is not UTF-8 text.`, {
      file: path,
      remedy: say`Save it with the encoding UTF-8.`,
    });
  }
}
