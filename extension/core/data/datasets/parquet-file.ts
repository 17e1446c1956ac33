import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as decompressZstd } from 'fzstd';
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import type { AsyncBuffer, Compressors, FileMetaData } from 'hyparquet';
import { withRegularFile } from '../../regular-file';
import { UserError } from '../../user-error';
import { maxArrayBytes } from '../npy';
import { checkThriftSize } from './thrift-size';
import { say } from '../../message';

/** Number of rows decoded at a time. */
export const rowsAtOnce = 1000;
/** Maximum memory of decoded metadata in bytes. Tables with 1000 columns and 100 row groups need half. */
const maxMetadataBytes = 2 ** 28;
/** Maximum decompressed page size in bytes. */
const maxPageBytes = 2 ** 30;
const boundedSize = (size: number): number => {
  if (size > maxPageBytes) {
    throw new Error(`a page of ${size} bytes is too large`);
  }
  return size;
};

/** Decompressors that hyparquet lacks. Each limits its output to the expected size. */
export const compressors: Compressors = {
  GZIP: (input, size) => gunzipSync(input, { maxOutputLength: boundedSize(size) }),
  BROTLI: (input, size) => brotliDecompressSync(input, { maxOutputLength: boundedSize(size) }),
  ZSTD: (input, size) => decompressZstd(input, new Uint8Array(boundedSize(size))),
};

/** Opens a file, and converts errors of the library to a UserError that names it. */
export async function withParquet<T>(
  path: string,
  read: (buffer: AsyncBuffer, metadata: FileMetaData) => Promise<T>,
): Promise<T> {
  return withRegularFile(path, async ({ handle, size }) => {
    const slice = async (start: number, end: number): Promise<ArrayBuffer> => {
      if (!(start >= 0 && start <= end && end <= size && end - start <= maxArrayBytes)) {
        throw new Error(`bytes ${start} to ${end} are not in the file`);
      }
      const bytes = new Uint8Array(end - start);
      await handle.read(bytes, 0, bytes.length, start);
      return bytes.buffer;
    };
    const buffer: AsyncBuffer = {
      byteLength: size,
      slice: (start, end = size) => {
        const bytes = slice(start, end);
        // Avoids an unhandled rejection: the library doesn't await its read-ahead after another error.
        bytes.catch(() => undefined);
        return bytes;
      },
    };
    try {
      checkThriftSize(await readFooter(slice, size), maxMetadataBytes);
      return await read(buffer, await parquetMetadataAsync(buffer, { geoparquet: false }));
    } catch (error) {
      throw error instanceof UserError
        ? error
        : new UserError(
            'parquet-unreadable',
            say`The file cannot be decoded as Parquet: ${(error as Error).message}.`,
            {
              file: path,
              remedy: say`The file is damaged, incomplete or not Parquet: download or save it again.`,
            },
          );
    }
  });
}

/** Metadata at the end of a file, before its 4-byte length and the 4-byte magic. */
async function readFooter(
  slice: (start: number, end: number) => Promise<ArrayBuffer>,
  size: number,
): Promise<Uint8Array> {
  const end = size - 8;
  const length = new DataView(await slice(end, size)).getUint32(0, true);
  return new Uint8Array(await slice(end - length, end));
}

/** Values of one row by column. */
export type Row = Readonly<Record<string, unknown>>;

/** Reads columns of all rows, {@link rowsAtOnce} rows at a time. */
export async function eachChunk(
  path: string,
  columns: readonly string[],
  visit: (rows: readonly Row[], start: number) => void,
): Promise<void> {
  await withParquet(path, async (file, metadata) => {
    const end = Number(metadata.num_rows);
    for (let rowStart = 0; rowStart < end; rowStart += rowsAtOnce) {
      const rowEnd = Math.min(end, rowStart + rowsAtOnce);
      const rows: Row[] = await parquetReadObjects({
        ...{ file, metadata, columns: [...columns], rowStart, rowEnd, compressors },
        ...{ utf8: false, geoparquet: false },
      });
      if (rows.length !== rowEnd - rowStart) {
        throw new Error(`rows are missing from ${rowStart + rows.length} on`);
      }
      visit(rows, rowStart);
    }
  });
}
