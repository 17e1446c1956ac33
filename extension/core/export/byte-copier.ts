import { constants, copyFile, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { checkpoint } from '../jobs/job';
import type { Cancellation, JobContext } from '../jobs/job';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { onPath } from '../jobs/write-document';
import { say } from '../message';
import type { Message } from '../message';

const chunkBytes = 8 << 20;

/** Bytes of a file. */
export interface ByteRange {
  /** Absolute path. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
  /** True to write `length` zeros instead of bytes of the file. */
  readonly zeros?: boolean;
}

/**
 * Copies byte ranges through two buffers: one is filled while the other is written. Reports
 * progress and can be canceled between chunks.
 */
export class ByteCopier {
  /** They grow with what is copied, to a chunk at most: small files need no large ones. */
  private readonly buffers = [Buffer.alloc(0), Buffer.alloc(0)];
  private readonly sources = new Map<string, FileHandle>();
  private done = 0;

  public constructor(
    private readonly totalBytes: number,
    private readonly context: JobContext,
  ) {}

  /** Writes `ranges`, one after the other, to `target` from `position` on. */
  public async copy(
    ranges: readonly ByteRange[],
    target: FileHandle,
    path: string,
    position: number,
  ): Promise<void> {
    let to = position;
    for (const range of joinAdjacent(ranges)) {
      const source = range.zeros === true ? undefined : await this.source(range.file);
      let filling = this.fill(source, range, 0);
      for (let copied = 0; copied < range.length;) {
        await checkpoint(this.context.cancellation);
        const bytes = await filling;
        copied += bytes.length;
        filling = this.fill(source, range, copied);
        filling.catch(() => undefined); // Thrown where it is awaited, unless writing fails first.
        await writeAll(target, path, bytes, to);
        to += bytes.length;
        this.advance(bytes.length);
      }
    }
  }

  /** Copies a file unchanged. Uses copy-on-write if the file system supports it. */
  public async copyFile(from: string, to: string, bytes: number): Promise<void> {
    await checkpoint(this.context.cancellation);
    await onPath(to, async () => copyFile(from, to, constants.COPYFILE_FICLONE));
    const handle = await onPath(to, async () => open(to, 'r+'));
    try {
      await onPath(to, async () => handle.sync());
    } finally {
      await handle.close();
    }
    this.advance(bytes);
  }

  /** Writes bytes from memory. */
  public async write(
    bytes: Uint8Array,
    target: FileHandle,
    path: string,
    position: number,
  ): Promise<void> {
    await writeAll(target, path, bytes, position);
    this.advance(bytes.length);
  }

  public get cancellation(): Cancellation {
    return this.context.cancellation;
  }

  private advance(bytes: number): void {
    this.done += bytes;
    this.context.progress({
      stage: say`Writing weights`,
      done: this.done,
      total: this.totalBytes,
      unit: 'bytes',
    });
  }

  /** Reads what follows the first `copied` bytes of a range into the buffer that is free. */
  private async fill(
    source: FileHandle | undefined,
    { file, offset, length }: ByteRange,
    copied: number,
  ): Promise<Buffer> {
    const wanted = Math.min(chunkBytes, length - copied);
    const buffer = this.freeBuffer(wanted);
    if (source === undefined || wanted === 0) {
      return buffer.subarray(0, wanted).fill(0);
    }
    const { bytesRead } = await source
      .read(buffer, 0, wanted, offset + copied)
      .catch((error: unknown) => {
        throw unreadable(
          file,
          'file-unreadable',
          say`It cannot be read: ${(error as Error).message}.`,
        );
      });
    if (bytesRead === 0) {
      throw unreadable(
        file,
        'source-shortened',
        say`The file became shorter while it was being copied.`,
      );
    }
    return buffer.subarray(0, bytesRead);
  }

  /** The buffer that is not being written, of `bytes` at least. */
  private freeBuffer(bytes: number): Buffer {
    let [buffer = Buffer.alloc(0)] = this.buffers.reverse();
    if (buffer.length < bytes) {
      buffer = Buffer.allocUnsafe(bytes);
      this.buffers[0] = buffer;
    }
    return buffer;
  }

  public async close(): Promise<void> {
    const handles = [...this.sources.values()];
    this.sources.clear();
    await Promise.all(handles.map(async (handle) => handle.close()));
  }

  private async source(file: string): Promise<FileHandle> {
    const known = this.sources.get(file);
    if (known !== undefined) {
      return known;
    }
    const handle = await open(file, 'r');
    this.sources.set(file, handle);
    return handle;
  }
}

/** Makes a file, lets `write` fill it, and flushes it to the disk. */
export async function writeFlushed(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const handle = await onPath(path, async () => open(path, 'wx'));
  try {
    await write(handle);
    await onPath(path, async () => handle.sync());
  } finally {
    // Disks of other machines are full only now.
    await onPath(path, async () => handle.close());
  }
}

/** Writes every byte; a single write may stop short. */
export async function writeAll(
  target: FileHandle,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await onPath(path, async () =>
      target.write(bytes, written, bytes.length - written, position + written),
    );
    written += bytesWritten;
  }
}

function unreadable(file: string, code: ErrorCode, problem: Message): UserError {
  return new UserError(code, problem, {
    file,
    remedy: say`Check the disk, don't change the model while it is being pruned, and try again.`,
  });
}

/** Ranges that follow each other in one file are read as one. */
function joinAdjacent(ranges: readonly ByteRange[]): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    const isSame = last?.file === range.file && last.zeros === range.zeros;
    if (isSame && last.offset + last.length === range.offset) {
      joined[joined.length - 1] = { ...last, length: last.length + range.length };
    } else {
      joined.push(range);
    }
  }
  return joined;
}
