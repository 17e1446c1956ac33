import { copyFile, mkdir, open, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative } from 'node:path';
import { unparse } from 'papaparse';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { arrayTypes } from '../../checkpoints/numeric-array';
import type { ArrayDType, NumericArray } from '../../checkpoints/numeric-array';
import { checkpoint } from '../../jobs/job';
import type { JobContext, StageProgress } from '../../jobs/job';
import { npyBytes, writeNpz } from '../write-npy';
import { say } from '../../message';

/** What a writer tells its progress to, and may be cancelled by. */
export type PartContext = Pick<JobContext<unknown>, 'cancellation' | 'progress'>;

/**
 * Writes some examples of a data set into a folder, in the form that the data set has itself.
 * @returns the files written
 * @throws CancelledError between two pieces of what it writes.
 */
export type PartWriter = (
  indices: Int32Array,
  folder: string,
  context: PartContext,
) => Promise<string[]>;

/** Bytes that are written between two looks at the cancellation. */
const pieceBytes = 4 * 1024 * 1024;
/** Least time between two reports of progress. */
const reportMilliseconds = 100;

/** Counts what is written, tells it, and lets a cancellation in. */
export function partProgress(
  { cancellation, progress }: PartContext,
  total: number,
  unit: StageProgress['unit'],
): (amount: number) => Promise<void> {
  let [done, told] = [0, Number.NEGATIVE_INFINITY];
  return async (amount) => {
    done = Math.min(total, done + amount);
    // The clock of the day may be set back.
    const now = performance.now();
    if (now - told >= reportMilliseconds || done === total) {
      told = now;
      progress({ stage: say`Writing examples`, done, total, unit });
    }
    await checkpoint(cancellation);
  };
}

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
  async (indices, folder, context) =>
    writeFiles(
      folder,
      context,
      Object.entries(parts).map(([file, array]) => [
        basename(file, extname(file) === '.gz' ? '.gz' : ''),
        idxBytes(takeRows(array, indices)),
      ]),
    );

/** One batch with the name of the first, and the names of the classes beside it. */
export const cifarWriter =
  (file: string, rows: Buffer, rowBytes: number, names: string): PartWriter =>
  async (indices, folder, context) => {
    const data = { dtype: 'U8', dims: [rows.length / rowBytes, rowBytes], data: rows } as const;
    const { data: bytes } = takeRows(data, indices);
    const content = [[basename(file), bytes as Uint8Array]] as const;
    const [written = ''] = await writeFiles(folder, context, content);
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
  async (indices, folder, context) => {
    await mkdir(folder, { recursive: true });
    const size = arrays.get(own[0] ?? '')?.dims[0];
    const inPart = (name: string, { dims }: NumericArray): boolean =>
      own.includes(name) || (dims[0] === size && !/test|val/i.test(name));
    const path = join(folder, basename(file));
    const parts = [...arrays].map(
      ([name, array]) => [name, inPart(name, array) ? takeRows(array, indices) : array] as const,
    );
    const bytes = parts.reduce((sum, [, { data }]) => sum + data.byteLength, 0);
    const written = partProgress(context, bytes, 'bytes');
    await writeNpz(path, Object.fromEntries(parts), written);
    return [path];
  };

export const npyWriter =
  (parts: Readonly<Record<string, NumericArray>>): PartWriter =>
  async (indices, folder, context) =>
    writeFiles(
      folder,
      context,
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
  async (indices, folder, context) => {
    const { columns, rows } = await read();
    const data = [columns, ...Array.from(indices, (index) => rows[index] ?? [])];
    const text = unparse(data as string[][], { delimiter, newline: '\n' });
    return writeFiles(folder, context, [[basename(file), `${text}\n`]]);
  };

/** Lines as they stand in the file. */
export const linesWriter =
  (file: string, read: () => Promise<readonly string[]>): PartWriter =>
  async (indices, folder, context) => {
    const lines = await read();
    const chosen = Array.from(indices, (index) => `${lines[index] ?? ''}\n`);
    return writeFiles(folder, context, [[basename(file), chosen.join('')]]);
  };

/** Copies of files in the folders that they lie in. */
export const copyingWriter =
  (root: string, files: readonly string[]): PartWriter =>
  async (indices, folder, context) => {
    const written: string[] = [];
    const copied = partProgress(context, indices.length, 'examples');
    for (const index of indices) {
      const file = files[index] ?? '';
      const copy = join(folder, relative(root, file));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(file, copy);
      written.push(copy);
      await copied(1);
    }
    return written;
  };

async function writeFiles(
  folder: string,
  context: PartContext,
  files: readonly (readonly [name: string, content: string | Uint8Array])[],
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const contents = files.map(
    ([name, content]) =>
      [name, typeof content === 'string' ? new TextEncoder().encode(content) : content] as const,
  );
  const total = contents.reduce((sum, [, { length }]) => sum + length, 0);
  const written = partProgress(context, total, 'bytes');
  for (const [name, bytes] of contents) {
    const file = await open(join(folder, name), 'w');
    try {
      for (let start = 0; start < bytes.length; start += pieceBytes) {
        const piece = bytes.subarray(start, start + pieceBytes);
        await file.writeFile(piece);
        await written(piece.length);
      }
    } finally {
      await file.close();
    }
  }
  return files.map(([name]) => join(folder, name));
}
