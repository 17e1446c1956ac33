import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as decompressZstd } from 'fzstd';
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import type { AsyncBuffer, Compressors, FileMetaData } from 'hyparquet';
import { withRegularFile } from '../../regular-file';
import { UserError } from '../../user-error';
import { maxArrayBytes } from '../npy';
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

/** Thrown for a structure whose decoded form would take too much memory. */
class ThriftSizeError extends Error {}

/** Average memory per decoded value (object, bigint or number), in bytes. */
const bytesPerValue = 64;
/** Maximum nesting depth. Parquet's own structures have about ten levels. */
const maxLevels = 50;

/** Type codes of Thrift's compact protocol. */
const [stop, isTrue, isFalse, byte, int16, int32, int64] = [0, 1, 2, 3, 4, 5, 6] as const;
const [double, binary, list, set, , struct] = [7, 8, 9, 10, 11, 12] as const;

/**
 * Checks the size of a structure in Thrift's compact protocol before decoding: one byte can encode an object, and a few
 * bytes a list larger than memory.
 * @param most maximum memory of the values, in bytes
 * @throws ThriftSizeError if more is needed, or the structure is damaged
 */
function checkThriftSize(bytes: Uint8Array, most: number): void {
  new Walk(bytes, Math.floor(most / bytesPerValue)).struct(0);
}

class Walk {
  #at = 0;

  public constructor(
    private readonly bytes: Uint8Array,
    private valuesLeft: number,
  ) {}

  public struct(level: number): void {
    if (level > maxLevels) {
      throw new ThriftSizeError(`the footer is nested more than ${maxLevels} deep`);
    }
    this.#count(1);
    for (;;) {
      const header = this.#byte();
      const type = header & 0xf;
      if (type === stop) {
        return;
      }
      if (header >> 4 === 0) {
        this.#varint();
      }
      this.#count(1);
      if (type !== isTrue && type !== isFalse) {
        this.#value(type, level);
      }
    }
  }

  #value(type: number, level: number): void {
    switch (type) {
      case isTrue:
      case isFalse:
      case byte:
        this.#skip(1);
        return;
      case int16:
      case int32:
      case int64:
        this.#varint();
        return;
      case double:
        this.#skip(8);
        return;
      case binary:
        this.#skip(this.#varint());
        return;
      case list:
      case set:
        this.#list(level);
        return;
      case struct:
        this.struct(level + 1);
        return;
      default:
        throw new ThriftSizeError(`the footer has a value of type ${type}`);
    }
  }

  #list(level: number): void {
    const header = this.#byte();
    const size = header >> 4 === 15 ? this.#varint() : header >> 4;
    this.#count(size);
    for (let i = 0; i < size; i++) {
      this.#value(header & 0xf, level + 1);
    }
  }

  #count(values: number): void {
    this.valuesLeft -= values;
    if (this.valuesLeft < 0) {
      throw new ThriftSizeError('the footer has too many values');
    }
  }

  #byte(): number {
    const value = this.bytes[this.#at++];
    if (value === undefined) {
      throw new ThriftSizeError('the footer ends too early');
    }
    return value;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const one = this.#byte();
      value += (one & 0x7f) * scale;
      if (one < 0x80) {
        return value;
      }
    }
  }

  #skip(bytes: number): void {
    this.#at += bytes;
  }
}

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
