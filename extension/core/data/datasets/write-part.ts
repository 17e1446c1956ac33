import { copyFile, mkdir, open, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, sep } from 'node:path';
import { applyEdits, modify } from 'jsonc-parser';
import { unparse } from 'papaparse';
import { numberToHalf } from '../../checkpoints/half';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { arrayTypes } from '../../checkpoints/numeric-array';
import type { ArrayDType, NumericArray } from '../../checkpoints/numeric-array';
import { checkpoint } from '../../jobs/job';
import type { JobContext, StageProgress } from '../../jobs/job';
import { npyBytes, writeNpz } from '../write-npy';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Cancellation and progress of a writer. */
export type PartContext = Pick<JobContext<unknown>, 'cancellation' | 'progress'>;

/** New class indices by example index. */
export type Relabeled = ReadonlyMap<number, number>;

/**
 * Writes a subset of a dataset to a folder, in the dataset's own format.
 * @param relabeled new classes of examples
 * @returns files written
 * @throws CancelledError between chunks of output; UserError if a class can't be stored.
 */
export type PartWriter = (
  indices: Int32Array,
  folder: string,
  context: PartContext,
  relabeled: Relabeled,
) => Promise<string[]>;

/** @throws UserError if the file's data type can't store a class index. */
function requireSame(written: number | undefined, label: number, file: string): void {
  if (written !== label) {
    throw new UserError(
      'class-unknown',
      say`The class ${label} does not fit into the labels of the dataset.`,
      { file, remedy: say`Choose one of the dataset's own classes.` },
    );
  }
}

/** Labels of a subset, as class indices in their own data type or as one-hot rows. */
function takeLabels(
  { file, array }: StoredArray,
  indices: Int32Array,
  relabeled: Relabeled,
): NumericArray {
  const taken = takeRows(array, indices);
  const { data } = taken;
  const width = elementCount(array.dims.slice(1));
  const encode = (value: number): number | bigint =>
    array.dtype === 'F16'
      ? numberToHalf(value)
      : typeof data[0] === 'bigint'
        ? BigInt(value)
        : value;
  indices.forEach((index, i) => {
    const label = relabeled.get(index);
    if (label !== undefined) {
      for (let column = 0; column < width; column++) {
        const value = width === 1 ? label : Number(column === label);
        // Both have the same type, but TypeScript can't infer it.
        data[i * width + column] = encode(value);
      }
      const written = width === 1 ? Number(data[i]) : Math.min(label, width - 1);
      requireSame(written, label, file);
    }
  });
  return taken;
}

/** Bytes written between two cancellation checks. */
const pieceBytes = 4 * 1024 * 1024;
/** Minimum interval of progress reports. */
const reportMilliseconds = 100;

/** Returns a function that counts written bytes, reports progress and handles cancellation. */
export function partProgress(
  { cancellation, progress }: PartContext,
  total: number,
  unit: StageProgress['unit'],
): (amount: number) => Promise<void> {
  let [done, lastReport] = [0, Number.NEGATIVE_INFINITY];
  return async (amount) => {
    done = Math.min(total, done + amount);
    // Monotonic clock: the system time may be set back.
    const now = performance.now();
    if (now - lastReport >= reportMilliseconds || done === total) {
      lastReport = now;
      progress({ stage: say`Writing examples`, done, total, unit });
    }
    await checkpoint(cancellation);
  };
}

/** Rows of an array. */
function takeRows(array: NumericArray, indices: Int32Array): NumericArray {
  const { dtype, dims, data } = array;
  const step = elementCount(dims.slice(1));
  const taken = new arrayTypes[dtype](indices.length * step);
  indices.forEach((index, i) => {
    // Both have the same type, but TypeScript can't infer it.
    taken.set(data.subarray(index * step, (index + 1) * step) as never, i * step);
  });
  return { dtype, dims: [indices.length, ...dims.slice(1)], data: taken };
}

/** IDX type codes by element type. */
const idxTypes: Partial<Readonly<Record<ArrayDType, number>>> = {
  U8: 0x08,
  I8: 0x09,
  I16: 0x0b,
  I32: 0x0c,
  F32: 0x0d,
  F64: 0x0e,
};

/** Encodes an array in the IDX format (big-endian). */
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

/** Array and its file. */
interface StoredArray {
  readonly file: string;
  readonly array: NumericArray;
}

/** Writes images and labels uncompressed under their original names. */
export const idxWriter =
  (images: StoredArray, labels: StoredArray): PartWriter =>
  async (indices, folder, context, relabeled) => {
    const fileName = ({ file }: StoredArray): string =>
      basename(file, extname(file) === '.gz' ? '.gz' : '');
    return writeFiles(folder, context, [
      [fileName(images), idxBytes(takeRows(images.array, indices))],
      [fileName(labels), idxBytes(takeLabels(labels, indices, relabeled))],
    ]);
  };

/** Writes one batch under the name of the first, and a file with the class names. */
export const cifarWriter =
  (
    file: string,
    rows: Buffer,
    { rowBytes, labelAt }: { readonly rowBytes: number; readonly labelAt: number },
    names: string,
  ): PartWriter =>
  async (indices, folder, context, relabeled) => {
    const data = { dtype: 'U8', dims: [rows.length / rowBytes, rowBytes], data: rows } as const;
    const bytes = takeRows(data, indices).data as Uint8Array;
    indices.forEach((index, i) => {
      const at = i * rowBytes + labelAt;
      const label = relabeled.get(index) ?? bytes[at] ?? 0;
      bytes[at] = label;
      requireSame(bytes[at], label, file);
    });
    const content = [[basename(file), bytes]] as const;
    const [written = ''] = await writeFiles(folder, context, content);
    const classes = join(dirname(file), names);
    if ((await stat(classes).catch(() => undefined)) === undefined) {
      return [written];
    }
    await copyFile(classes, join(folder, names));
    return [written, join(folder, names)];
  };

/** Writes all arrays of an archive; those with one entry per example are reduced to the subset. */
export const npzWriter =
  (
    file: string,
    arrays: ReadonlyMap<string, NumericArray>,
    own: { readonly features: string; readonly labels: string },
  ): PartWriter =>
  async (indices, folder, context, relabeled) => {
    await mkdir(folder, { recursive: true });
    const size = arrays.get(own.features)?.dims[0];
    const isSubsetArray = (name: string, { dims }: NumericArray): boolean =>
      name === own.features || (dims[0] === size && !/test|val/i.test(name));
    const path = join(folder, basename(file));
    const arraySubset = (name: string, array: NumericArray): NumericArray =>
      name === own.labels
        ? takeLabels({ file, array }, indices, relabeled)
        : isSubsetArray(name, array)
          ? takeRows(array, indices)
          : array;
    const parts = [...arrays].map(([name, array]) => [name, arraySubset(name, array)] as const);
    const bytes = parts.reduce((sum, [, { data }]) => sum + data.byteLength, 0);
    const written = partProgress(context, bytes, 'bytes');
    await writeNpz(path, Object.fromEntries(parts), written);
    return [path];
  };

export const npyWriter =
  (features: StoredArray, labels: StoredArray): PartWriter =>
  async (indices, folder, context, relabeled) =>
    writeFiles(folder, context, [
      [basename(features.file), npyBytes(takeRows(features.array, indices))],
      [basename(labels.file), npyBytes(takeLabels(labels, indices, relabeled))],
    ]);

/** Label column, and the row that shows how a class is written. */
export interface LabelColumn {
  readonly label: string;
  readonly rowOf: (label: number) => number;
}

/** Writes rows of a table with its header. */
export const csvWriter =
  (
    file: string,
    { label, rowOf }: LabelColumn,
    read: () => Promise<{
      columns: readonly string[];
      rows: readonly (readonly string[])[];
      delimiter: string;
    }>,
  ): PartWriter =>
  async (indices, folder, context, relabeled) => {
    const { columns, rows, delimiter } = await read();
    const at = columns.indexOf(label);
    const rowAt = (index: number): readonly string[] => {
      const [row = [], changed] = [rows[index], relabeled.get(index)];
      return changed === undefined ? row : row.with(at, rows[rowOf(changed)]?.[at] ?? '');
    };
    const data = [columns, ...Array.from(indices, rowAt)];
    const text = unparse(data as string[][], { delimiter, newline: '\n' });
    return writeFiles(folder, context, [[basename(file), `${text}\n`]]);
  };

/** Copies lines unchanged, except for changed labels. */
export const linesWriter =
  (
    file: string,
    { label, rowOf }: LabelColumn,
    read: () => Promise<readonly string[]>,
  ): PartWriter =>
  async (indices, folder, context, relabeled) => {
    const lines = await read();
    const labelAt = (row: number): unknown =>
      (JSON.parse(lines[row] ?? '{}') as Readonly<Record<string, unknown>>)[label];
    const lineAt = (index: number): string => {
      const [line = '', changed] = [lines[index], relabeled.get(index)];
      return changed === undefined
        ? line
        : applyEdits(line, modify(line, [label], labelAt(rowOf(changed)), {}));
    };
    const chosen = Array.from(indices, (index) => `${lineAt(index)}\n`);
    return writeFiles(folder, context, [[basename(file), chosen.join('')]]);
  };

/** Copies files to the same folders, or to that of their new class. */
export const copyingWriter =
  (root: string, files: readonly string[], rowOf: LabelColumn['rowOf']): PartWriter =>
  async (indices, folder, context, relabeled) => {
    const written: string[] = [];
    const copied = partProgress(context, indices.length, 'examples');
    const taken = new Set(files.map((file) => relative(root, file)));
    const placeIn = (index: number): string => relative(root, files[index] ?? '');
    const targetPath = (index: number): string => {
      const [place, label] = [placeIn(index), relabeled.get(index)];
      if (label === undefined) {
        return place;
      }
      // A class name from a document could contain a path outside the folder.
      const [own = ''] = placeIn(rowOf(label)).split(sep);
      return freePlace(place, own, taken);
    };
    for (const index of indices) {
      const file = files[index] ?? '';
      const copy = join(folder, targetPath(index));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(file, copy);
      written.push(copy);
      await copied(1);
    }
    return written;
  };

/** Path with the same file name in another class folder, numbered if the name is taken. */
function freePlace(place: string, className: string, taken: Set<string>): string {
  const [, ...rest] = place.split(sep);
  const own = join(className, ...rest);
  const extension = extname(own);
  const stem = own.slice(0, own.length - extension.length);
  let free = own;
  for (let number = 2; taken.has(free); number++) {
    free = `${stem}-${number}${extension}`;
  }
  taken.add(free);
  return free;
}

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
