import { crc32 } from 'node:zlib';
import { fromFdPromise } from 'yauzl';
import type { Entry, ZipFile } from 'yauzl';
import { withRegularFile } from '../regular-file';
import { formatBytes } from '../format';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { maxArrayBytes, parseNpy } from './npy';
import type { NumericArray } from '../checkpoints/numeric-array';
import { say } from '../message';
import type { Message } from '../message';

/** Maximum number of arrays in an archive. */
const maxEntries = 5000;
/** Maximum compression ratio of deflate. */
const maxDeflateRatio = 1032;
const extension = '.npy';

/**
 * Reads all arrays of an archive written by numpy.savez or numpy.savez_compressed, by name.
 * @param mostBytes maximum total size of the arrays
 * @throws UserError naming the file and the invalid array.
 */
export async function readNpz(
  file: string,
  mostBytes: number = maxArrayBytes,
): Promise<Map<string, NumericArray>> {
  return withRegularFile(file, async ({ handle, size }) => {
    const arrays = new Map<string, NumericArray>();
    try {
      const zip = await fromFdPromise(handle.fd, { autoClose: false });
      const entries = await listEntries(zip, size, mostBytes, file);
      for (const entry of entries) {
        const bytes = await readEntry(zip, entry, file);
        arrays.set(
          entry.fileName.slice(0, -extension.length),
          parseNpy(bytes, file, entry.fileName),
        );
      }
    } catch (error) {
      throw error instanceof UserError ? error : damaged(file, error);
    }
    return arrays;
  });
}

/** Decompressed size that is always allowed, in bytes. */
const smallBytes = 64 << 20;
/** Maximum compression ratio of larger files. Sound data compresses less. */
const maxRatio = 100;

/** Maximum decompressed size of a compressed file. Deflate can compress zeros 1032 times, other methods far more. */
export const maxUnpacked = (packed: number): number => Math.max(smallBytes, packed * maxRatio);

/** Entries of an archive, after checking that reading them takes bounded memory. */
async function listEntries(
  zip: ZipFile,
  fileSize: number,
  mostBytes: number,
  file: string,
): Promise<Entry[]> {
  if (zip.entryCount > maxEntries) {
    throw new UserError(
      'npz-entries-too-many',
      say`The archive has ${zip.entryCount} entries, more than ${maxEntries}.`,
      { file, remedy: say`Save fewer examples, or several files in one folder.` },
    );
  }
  const entries: Entry[] = [];
  const names = new Set<string>();
  let packed = 0;
  let unpacked = 0;
  for await (const entry of zip.eachEntry()) {
    const { fileName, compressedSize, uncompressedSize } = entry;
    const fault = (code: ErrorCode, problem: Message): UserError =>
      new UserError(code, problem, {
        file,
        field: fileName,
        remedy: say`Save the arrays again with numpy.savez.`,
      });
    packed += compressedSize;
    unpacked += uncompressedSize;
    if (!fileName.endsWith(extension)) {
      throw fault('npz-entry-unsupported', say`This entry of the archive is not a .npy file.`);
    }
    if (names.has(fileName)) {
      throw fault('npz-name-duplicate', say`The name occurs twice in the archive.`);
    }
    if (entry.isEncrypted()) {
      throw fault('npz-entry-encrypted', say`The entry is encrypted.`);
    }
    if (uncompressedSize > compressedSize * maxDeflateRatio || packed > fileSize) {
      throw fault('npz-entry-too-large', say`The archive declares more data than it can contain.`);
    }
    if (unpacked > maxUnpacked(fileSize)) {
      throw new UserError(
        'npz-ratio-too-large',
        say`The archive decompresses to more than ${maxRatio} times its size.`,
        {
          file,
          field: fileName,
          remedy: say`Save the arrays uncompressed, with numpy.savez.`,
        },
      );
    }
    if (unpacked > mostBytes) {
      throw new UserError(
        'npz-too-large',
        say`Its arrays take more than ${formatBytes(mostBytes)}.`,
        {
          file,
          field: fileName,
          remedy: say`Save fewer examples, or several files in one folder.`,
        },
      );
    }
    names.add(fileName);
    entries.push(entry);
  }
  return entries;
}

async function readEntry(zip: ZipFile, entry: Entry, file: string): Promise<Uint8Array> {
  const bytes = Buffer.alloc(entry.uncompressedSize);
  let end = 0;
  // The stream fails if an entry is longer than its declared size.
  for await (const chunk of await zip.openReadStreamPromise(entry)) {
    end += (chunk as Buffer).copy(bytes, end);
  }
  if (end !== bytes.length || crc32(bytes) !== entry.crc32) {
    throw new UserError('npz-checksum-mismatch', say`The data does not match its checksum.`, {
      file,
      field: entry.fileName,
      remedy: say`The file is damaged or incomplete: save the arrays again with numpy.savez.`,
    });
  }
  return bytes;
}

function damaged(file: string, error: unknown): UserError {
  return new UserError(
    'npz-unreadable',
    say`The archive cannot be read: ${(error as Error).message}.`,
    {
      file,
      remedy: say`The file is damaged or not a .npz file: save the arrays again with numpy.savez.`,
    },
  );
}
