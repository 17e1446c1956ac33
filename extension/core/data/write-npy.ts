import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import type { ArrayDType, NumericArray } from '../checkpoints/numeric-array';
import { replaceFile, onPath } from '../jobs/write-document';

const descriptions: Readonly<Record<ArrayDType, string>> = {
  F64: '<f8',
  F32: '<f4',
  F16: '<f2',
  I64: '<i8',
  I32: '<i4',
  I16: '<i2',
  I8: '|i1',
  U64: '<u8',
  U32: '<u4',
  U16: '<u2',
  U8: '|u1',
  BOOL: '|b1',
};
/** Alignment of the data in bytes. */
const alignment = 64;
/** Maximum number of bytes written at a time. */
const pieceBytes = 4 * 1024 * 1024;

/** Contents of a .npy file, format version 1.0 (see numpy.lib.format). */
export function npyBytes({ dtype, dims, data }: NumericArray): Buffer {
  const shape = dims.length === 1 ? `${dims[0] ?? 0},` : dims.join(', ');
  const header = `{'descr': '${descriptions[dtype]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const unpadded = 10 + header.length + 1;
  const text = `${header}${' '.repeat((alignment - (unpadded % alignment)) % alignment)}\n`;
  const start = Buffer.from('\x93NUMPY\x01\x00\x00\x00', 'latin1');
  start.writeUInt16LE(text.length, 8);
  const numbers = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([start, Buffer.from(text, 'latin1'), numbers]);
}

/**
 * Writes arrays as numpy.savez does, atomically.
 * @param written called with each number of bytes written; its exceptions stop the writing
 * @throws UserError if the file can't be written.
 */
export async function writeNpz(
  path: string,
  arrays: Readonly<Record<string, NumericArray>>,
  written: (bytes: number) => Promise<void> = async () => Promise.resolve(),
): Promise<void> {
  const write = async (partial: string): Promise<void> => {
    const zip = new ZipFile();
    for (const [name, array] of Object.entries(arrays)) {
      zip.addBuffer(npyBytes(array), `${name}.npy`, { compress: false });
    }
    zip.end();
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of zip.outputStream as AsyncIterable<Buffer>) {
        for (let start = 0; start < chunk.length; start += pieceBytes) {
          const piece = chunk.subarray(start, start + pieceBytes);
          yield piece;
          await written(piece.length);
        }
      }
    };
    await pipeline(counted, createWriteStream(partial));
  };
  await onPath(path, async () => replaceFile(path, write));
}
