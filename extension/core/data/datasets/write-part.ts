import { copyFile, mkdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative } from 'node:path';
import { unparse } from 'papaparse';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { arrayTypes } from '../../checkpoints/numeric-array';
import type { ArrayDType, NumericArray } from '../../checkpoints/numeric-array';
import { writeText } from '../../jobs/write-document';
import { npyBytes, writeNpz } from '../write-npy';

/**
 * Writes some examples of a data set into a folder, in the form that the data set has itself.
 * @returns the files written
 */
export type PartWriter = (indices: Int32Array, folder: string) => Promise<string[]>;

/** Some entries of the first axis of an array. */
function takeRows(array: NumericArray, indices: Int32Array): NumericArray {
  const { dtype, dims, data } = array;
  const step = elementCount(dims.slice(1));
  const taken = new arrayTypes[dtype](indices.length * step);
  indices.forEach((index, i) => {
    // Both have the same type, which the compiler cannot see.
    taken.set(data.subarray(index * step, (index + 1) * step) as never, i * step);
  });
  return { dtype, dims: [indices.length, ...dims.slice(1)], data: taken };
}

/** Element types of IDX by name. */
const idxTypes: Partial<Readonly<Record<ArrayDType, number>>> = {
  U8: 0x08,
  I8: 0x09,
  I16: 0x0b,
  I32: 0x0c,
  F32: 0x0d,
  F64: 0x0e,
};

/** Bytes of an array in the IDX format, the high byte first. */
function idxBytes({ dtype, dims, data }: NumericArray): Buffer {
  const header = Buffer.alloc(4 + 4 * dims.length);
  header.set([0, 0, idxTypes[dtype] ?? 0, dims.length]);
  dims.forEach((size, axis) => header.writeUInt32BE(size, 4 + 4 * axis));
  const bytes = Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice());
  switch (data.BYTES_PER_ELEMENT) {
    case 2:
      bytes.swap16();
      break;
    case 4:
      bytes.swap32();
      break;
    case 8:
      bytes.swap64();
  }
  return Buffer.concat([header, bytes]);
}

/** Images and labels, not packed, under the names that they have. */
export const idxWriter =
  (parts: Readonly<Record<string, NumericArray>>): PartWriter =>
  async (indices, folder) =>
    writeFiles(
      folder,
      Object.entries(parts).map(([file, array]) => [
        basename(file, extname(file) === '.gz' ? '.gz' : ''),
        idxBytes(takeRows(array, indices)),
      ]),
    );

/** One batch with the name of the first, and the names of the classes beside it. */
export const cifarWriter =
  (file: string, rows: Buffer, rowBytes: number, names: string): PartWriter =>
  async (indices, folder) => {
    const data = { dtype: 'U8', dims: [rows.length / rowBytes, rowBytes], data: rows } as const;
    const { data: bytes } = takeRows(data, indices);
    const [written = ''] = await writeFiles(folder, [[basename(file), bytes as Uint8Array]]);
    const classes = join(dirname(file), names);
    if ((await stat(classes).catch(() => undefined)) === undefined) {
      return [written];
    }
    await copyFile(classes, join(folder, names));
    return [written, join(folder, names)];
  };

/** All arrays of an archive: those with an entry for each example in part, others whole. */
export const npzWriter =
  (file: string, arrays: ReadonlyMap<string, NumericArray>, own: readonly string[]): PartWriter =>
  async (indices, folder) => {
    await mkdir(folder, { recursive: true });
    const size = arrays.get(own[0] ?? '')?.dims[0];
    const inPart = (name: string, { dims }: NumericArray): boolean =>
      own.includes(name) || (dims[0] === size && !/test|val/i.test(name));
    const path = join(folder, basename(file));
    const parts = [...arrays].map(([name, array]) => [
      name,
      inPart(name, array) ? takeRows(array, indices) : array,
    ]);
    await writeNpz(path, Object.fromEntries(parts) as Record<string, NumericArray>);
    return [path];
  };

export const npyWriter =
  (parts: Readonly<Record<string, NumericArray>>): PartWriter =>
  async (indices, folder) =>
    writeFiles(
      folder,
      Object.entries(parts).map(([file, array]) => [
        basename(file),
        npyBytes(takeRows(array, indices)),
      ]),
    );

/** Rows of a table under the same heading. */
export const csvWriter =
  (
    file: string,
    delimiter: string,
    read: () => Promise<{ columns: readonly string[]; rows: readonly (readonly string[])[] }>,
  ): PartWriter =>
  async (indices, folder) => {
    const { columns, rows } = await read();
    const data = [columns, ...Array.from(indices, (index) => rows[index] ?? [])];
    const text = unparse(data as string[][], { delimiter, newline: '\n' });
    return writeFiles(folder, [[basename(file), `${text}\n`]]);
  };

/** Lines as they stand in the file. */
export const linesWriter =
  (file: string, read: () => Promise<readonly string[]>): PartWriter =>
  async (indices, folder) => {
    const lines = await read();
    const chosen = Array.from(indices, (index) => `${lines[index] ?? ''}\n`);
    return writeFiles(folder, [[basename(file), chosen.join('')]]);
  };

/** Copies of files in the folders that they lie in. */
export const copyingWriter =
  (root: string, files: readonly string[]): PartWriter =>
  async (indices, folder) => {
    const written: string[] = [];
    for (const index of indices) {
      const file = files[index] ?? '';
      const copy = join(folder, relative(root, file));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(file, copy);
      written.push(copy);
    }
    return written;
  };

async function writeFiles(
  folder: string,
  files: readonly (readonly [name: string, content: string | Uint8Array])[],
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of files) {
    await writeText(join(folder, name), content);
  }
  return files.map(([name]) => join(folder, name));
}
