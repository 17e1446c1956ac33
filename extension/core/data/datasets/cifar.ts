import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readSmallText, readWholeFile } from '../../regular-file';
import { UserError } from '../../user-error';
import { maxArrayBytes } from '../npy';
import { numericDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { numberedLabels } from './labels';
import { cifarWriter } from './write-part';
import { say } from '../../message';

/** Shape of an image: RGB channels first, 32×32 pixels. */
const imageShape = [3, 32, 32] as const;
const imageBytes = 3 * 32 * 32;

/** Binary format of CIFAR-10 or CIFAR-100, as published. */
interface CifarForm {
  /** Number of label bytes before each image. The last one is used. */
  readonly labelBytes: number;
  readonly files: Readonly<Record<'train' | 'test', RegExp>>;
  /** File with the class names, one per line. */
  readonly names: string;
  readonly defaultNames?: readonly string[];
}

const forms: readonly CifarForm[] = [
  {
    labelBytes: 1,
    files: { train: /^data_batch_\d+\.bin$/, test: /^test_batch\.bin$/ },
    names: 'batches.meta.txt',
    defaultNames: [
      'airplane',
      'automobile',
      'bird',
      'cat',
      'deer',
      'dog',
      'frog',
      'horse',
      'ship',
      'truck',
    ],
  },
  {
    labelBytes: 2,
    files: { train: /^train\.bin$/, test: /^test\.bin$/ },
    names: 'fine_label_names.txt',
  },
];

const findFormat = (file: string): CifarForm | undefined =>
  forms.find(({ files }) => Object.values(files).some((pattern) => pattern.test(basename(file))));

/** True if the file name is that of a CIFAR batch. */
export const isCifar = (file: string): boolean => findFormat(file) !== undefined;

/** Batch files of the requested split, in order; those of the other split if there are none. */
export function cifarBatches(
  files: readonly string[],
  split: 'train' | 'test' = 'train',
): string[] {
  const of = (part: 'train' | 'test'): string[] =>
    files.filter((file) => findFormat(file)?.files[part].test(basename(file))).sort();
  const wanted = of(split);
  return wanted.length > 0 ? wanted : of(split === 'train' ? 'test' : 'train');
}

/**
 * Opens CIFAR-10 or CIFAR-100 batches in binary format, concatenated in the given order.
 * @throws UserError naming the file and the row.
 */
export async function openCifar(
  files: readonly string[],
  { classNames }: DatasetOptions,
): Promise<Dataset> {
  const [first = ''] = files;
  const form = findFormat(first);
  if (form === undefined) {
    throw new UserError('cifar-name-unknown', say`The file name is not that of a CIFAR batch.`, {
      file: first,
      remedy: say`Rename it to the name it was downloaded with, such as data_batch_1.bin.`,
    });
  }
  const row = form.labelBytes + imageBytes;
  const batches: Buffer[] = [];
  for (const file of files) {
    const bytes = await readWholeFile(file, maxArrayBytes, say`Save fewer examples.`);
    if (bytes.length === 0 || bytes.length % row !== 0) {
      throw new UserError(
        'cifar-size-invalid',
        say`The file has ${bytes.length} bytes, which is not a multiple of ${row}.`,
        { file, remedy: say`The file is damaged or incomplete: download it again.` },
      );
    }
    batches.push(bytes);
  }
  const all = Buffer.concat(batches);
  const size = all.length / row;
  const images = new Uint8Array(size * imageBytes);
  const labels = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    const start = i * row + form.labelBytes;
    labels[i] = all.readUInt8(start - 1);
    images.set(all.subarray(start, start + imageBytes), i * imageBytes);
  }
  const names =
    classNames ?? (await readNames(join(dirname(first), form.names))) ?? form.defaultNames;
  return numericDataset(
    {
      name: basename(dirname(first)),
      file: first,
      ...numberedLabels(labels, names, first),
      write: cifarWriter(first, all, { rowBytes: row, labelAt: form.labelBytes - 1 }, form.names),
    },
    { dtype: 'U8', dims: [size, ...imageShape], data: images },
    255,
  );
}

async function readNames(file: string): Promise<string[] | undefined> {
  if ((await stat(file).catch(() => undefined)) === undefined) {
    return undefined;
  }
  const lines = (await readSmallText(file)).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '');
}
