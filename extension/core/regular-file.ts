import { createHash } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError, checkAccess, fileMissing } from './user-error';
import { say } from './message';
import type { Message } from './message';

/** Text of a file of proc(5), such as `self/status`; undefined if there is none, as outside Linux. */
export function readProc(name: string): string | undefined {
  return readSystemFile(`/proc/${name}`);
}

/** Text of a file that the kernel generates; undefined if it can't be read. */
export function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** A file that is open for reading. */
export interface RegularFile {
  readonly handle: FileHandle;
  /** Absolute path, links resolved. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Opens a file and closes it after `read`. Folders, pipes and devices are refused, without waiting for them.
 * @param missing the problem if there is no such file
 * @throws UserError naming the file if it cannot be opened.
 */
export async function withRegularFile<T>(
  path: string,
  read: (opened: RegularFile) => Promise<T>,
  missing?: Message,
): Promise<T> {
  const opened = await openRegular(path, missing);
  try {
    return await read(opened);
  } finally {
    await opened.handle.close();
  }
}

/** Lines of a file that may be long, without their ends. Checks the file as {@link withRegularFile}. */
export async function* linesOf(path: string): AsyncGenerator<string, undefined> {
  const { handle } = await openRegular(path);
  try {
    yield* handle.readLines({ encoding: 'utf8', autoClose: false });
  } finally {
    await handle.close();
  }
}

async function openRegular(path: string, missing?: Message): Promise<RegularFile> {
  const file = await realpath(path).catch(() => {
    throw fileMissing(path, missing);
  });
  requireRegular(await stat(file), path);
  // Something else may have come to its place; a pipe would be waited for. Windows has no such flag.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const handle = await open(file, flags).catch((error: unknown) => {
    throw new UserError(
      'file-unreadable',
      say`The file cannot be read: ${(error as Error).message}.`,
      { file: path, remedy: checkAccess },
    );
  });
  try {
    const found = await handle.stat();
    requireRegular(found, path);
    return { handle, file, size: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function requireRegular(found: Stats, path: string): void {
  if (!found.isFile()) {
    throw new UserError('file-not-regular', say`This is not a regular file.`, {
      file: path,
      remedy: say`Choose a file, not a folder, pipe or device.`,
    });
  }
}

/**
 * Reads a whole file of at most `most` bytes into memory of its own.
 * @param remedy what to do about a larger file
 * @throws UserError naming the file when it is missing or larger.
 */
export async function readWholeFile(
  path: string,
  most: number,
  remedy: Message,
  missing?: Message,
): Promise<Buffer> {
  const read = async ({ handle, size }: RegularFile): Promise<Buffer> => {
    if (size > most) {
      throw new UserError(
        'file-too-large',
        say`The file has ${size} bytes, more than the ${most} expected.`,
        { file: path, remedy },
      );
    }
    const bytes = Buffer.alloc(size);
    let end = 0;
    for (let read = 1; read > 0 && end < size; end += read) {
      const length = Math.min(readBytesAtOnce, size - end);
      ({ bytesRead: read } = await handle.read(bytes, end, length, end));
    }
    return bytes.subarray(0, end);
  };
  return withRegularFile(path, read, missing);
}

/** The first bytes of a file, at most `most`. Checks the file as {@link withRegularFile}. */
export async function readStart(path: string, most: number): Promise<Buffer> {
  return withRegularFile(path, async ({ handle }) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(most), 0, most, 0);
    return buffer.subarray(0, bytesRead);
  });
}

/** SHA-256 of a file's content, in hexadecimal. */
export async function digestFile(path: string): Promise<string> {
  return withRegularFile(path, async ({ handle }) => {
    const hash = createHash('sha256');
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      hash.update(chunk as Buffer);
    }
    return hash.digest('hex');
  });
}

/** A single read takes less than 2 GiB. */
const readBytesAtOnce = 2 ** 30;
/** Longest text that {@link readSmallText} reads, in bytes. */
const maxTextBytes = 100_000_000;

/**
 * Reads a whole text file that is expected to be small: documents, configurations, saved states. The only way to
 * read them, checked by test/unit/regular-file.test.ts.
 * @param missing the problem if there is no such file
 * @throws UserError naming the file when it is missing, too large or not UTF-8.
 */
export async function readSmallText(path: string, missing?: Message): Promise<string> {
  const bytes = await readWholeFile(path, maxTextBytes, say`Choose a smaller file.`, missing);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError('text-not-utf8', say`The file is not UTF-8 text.`, {
      file: path,
      remedy: say`Save it with the encoding UTF-8.`,
    });
  }
}
