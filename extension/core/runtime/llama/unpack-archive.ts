import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { say } from '../../message';
import type { Message } from '../../message';
import { withRegularFile } from '../../regular-file';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';

const block = 512;
/** Maximum total size of an archive's files. */
const mostBytes = 1e9;
const mostFiles = 1000;
const regularFile = '0';
const prefix = 'package/';

/** Digest of a package, with progress. */
export async function packageDigest(
  file: string,
  algorithm: 'sha256' | 'sha512',
  encoding: 'hex' | 'base64',
  { cancellation, progress }: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<string> {
  return withRegularFile(file, async ({ handle, size }) => {
    const hash = createHash(algorithm);
    let done = 0;
    for await (const chunk of handle.createReadStream({
      autoClose: false,
      highWaterMark: 2 ** 22,
    })) {
      hash.update(chunk as Buffer);
      done += (chunk as Buffer).length;
      progress({ stage: say`Checking the package`, done, total: size, unit: 'bytes' });
      await checkpoint(cancellation);
    }
    return hash.digest(encoding);
  });
}

/** Header of a file in a tar archive. */
interface TarHeader {
  readonly name: string;
  readonly size: number;
}

/**
 * Unpacks an npm package (.tgz), which has regular files below `package/`, into a folder.
 * @returns paths of the files, relative to the folder
 * @throws UserError naming the archive if it contains anything else or is damaged.
 */
export async function unpackArchive(
  archive: string,
  folder: string,
  cancellation: JobContext['cancellation'],
): Promise<readonly string[]> {
  return withRegularFile(archive, async ({ handle }) => {
    const bytes = handle.createReadStream({ autoClose: false });
    const chunks = createGunzip();
    bytes.once('error', (error) => chunks.destroy(error)).pipe(chunks);
    try {
      return await unpackFiles(new ByteReader(chunks), archive, folder, cancellation);
    } catch (error) {
      throw isArchiveError(error)
        ? damaged(archive, 'archive-undecodable', say`It can't be decompressed.`)
        : error;
    } finally {
      bytes.destroy();
      chunks.destroy();
    }
  });
}

async function unpackFiles(
  reader: ByteReader,
  archive: string,
  folder: string,
  cancellation: JobContext['cancellation'],
): Promise<readonly string[]> {
  const names: string[] = [];
  let total = 0;
  for (;;) {
    const header = parseHeader(await reader.read(block), archive);
    if (header === undefined) {
      await reader.finish();
      return names;
    }
    total += header.size;
    if (total > mostBytes || names.length >= mostFiles) {
      throw damaged(archive, 'archive-too-large', say`It is larger than a package of llama.cpp.`);
    }
    await writeEntry(reader, header.size, join(folder, header.name));
    names.push(header.name);
    await checkpoint(cancellation);
  }
}

async function writeEntry(reader: ByteReader, size: number, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx', 0o644);
  try {
    for (let left = size; left > 0;) {
      const bytes = await reader.read(Math.min(left, 1 << 20));
      await handle.writeFile(bytes);
      left -= bytes.length;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await reader.read((block - (size % block)) % block);
}

/** @returns undefined at the end of the archive. */
function parseHeader(bytes: Buffer, archive: string): TarHeader | undefined {
  if (bytes.every((byte) => byte === 0)) {
    return undefined;
  }
  const text = (from: number, to: number): string =>
    /^[^\0]*/.exec(bytes.toString('utf8', from, to))?.[0] ?? '';
  const path = [text(345, 500), text(0, 100)].filter(Boolean).join('/');
  const size = Number.parseInt(text(124, 136).trim(), 8);
  const type = text(156, 157) || regularFile;
  const name = path.slice(prefix.length);
  const isPlain = !name.split(/[/\\]/).some((part) => ['', '.', '..'].includes(part));
  if (
    !path.startsWith(prefix) ||
    !isPlain ||
    name.includes(':') ||
    type !== regularFile ||
    !(size >= 0)
  ) {
    throw damaged(
      archive,
      'archive-entry-unsafe',
      say`It contains ${JSON.stringify(path)}, which isn't a plain file.`,
    );
  }
  return { name, size };
}

/** Bytes of a stream in the amounts that are asked for. */
class ByteReader {
  private readonly chunks: AsyncIterator<Buffer, undefined>;
  private rest: Buffer = Buffer.alloc(0);

  public constructor(chunks: AsyncIterable<Buffer, undefined>) {
    this.chunks = chunks[Symbol.asyncIterator]();
  }

  /** @throws TruncatedError if the stream ends before. */
  public async read(length: number): Promise<Buffer> {
    const parts = [this.rest];
    let have = this.rest.length;
    while (have < length) {
      const next: IteratorResult<Buffer, undefined> = await this.chunks.next();
      if (next.done === true) {
        throw new TruncatedError();
      }
      parts.push(next.value);
      have += next.value.length;
    }
    const all = parts.length === 1 ? this.rest : Buffer.concat(parts);
    this.rest = all.subarray(length);
    return all.subarray(0, length);
  }

  /** Reads the rest, which ends with the checksum. */
  public async finish(): Promise<void> {
    while ((await this.chunks.next()).done !== true) {
      // The bytes are not needed.
    }
  }
}

class TruncatedError extends Error {}

const isArchiveError = (error: unknown): boolean =>
  error instanceof TruncatedError ||
  (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'));

const damaged = (file: string, code: ErrorCode, problem: Message): UserError =>
  new UserError(code, problem, { file, remedy: say`Download the package again.` });
