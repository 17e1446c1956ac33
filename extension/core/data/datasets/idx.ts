import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { readWholeFile } from '../../regular-file';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { maxArrayBytes } from '../npy';
import { maxUnpacked } from '../npz';
import { arrayTypes } from '../../checkpoints/numeric-array';
import type { ArrayDType, NumericArray } from '../../checkpoints/numeric-array';
import { numericDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { numberedLabels } from './labels';
import { idxWriter } from './write-part';
import { say } from '../../message';
import type { Message } from '../../message';

const damaged = say`The file is damaged or incomplete: download it again.`;

/** Element types by their code in the header. */
const dtypes: Readonly<Record<number, ArrayDType>> = {
  0x08: 'U8',
  0x09: 'I8',
  0x0b: 'I16',
  0x0c: 'I32',
  0x0d: 'F32',
  0x0e: 'F64',
};

/** Names such as train-images-idx3-ubyte(.gz), as used by MNIST and similar datasets. */
const fileName = /^(.*?)(images|labels)([-.])idx\d-ubyte(\.gz)?$/;

/** True if the file name is that of an IDX file. */
export const isIdx = (file: string): boolean => fileName.test(basename(file));

/** Image file of the requested split in a folder. */
export function idxImages(
  files: readonly string[],
  split: 'train' | 'test' = 'train',
): string | undefined {
  const images = files.filter((file) => fileName.exec(basename(file))?.[2] === 'images');
  const wanted = split === 'train' ? /^train/ : /^(?:t10k|test)/;
  return (
    images.find((file) => wanted.test(basename(file))) ??
    (images.length === 1 ? images[0] : undefined)
  );
}

/**
 * Opens IDX images, [1, height, width], with the labels next to them.
 * @param file images or labels
 * @throws UserError naming the file.
 */
export async function openIdx(file: string, { classNames }: DatasetOptions): Promise<Dataset> {
  const imageFile = await sibling(file, 'images');
  const labelFile = await sibling(file, 'labels');
  const images = await readIdx(imageFile);
  const labels = await readIdx(labelFile);
  const { dims, data } = labels;
  if (dims.length !== 1) {
    throw new UserError(
      'idx-labels-mismatch',
      say`Labels have one axis, but the file has ${dims.length}.`,
      {
        file: labelFile,
        remedy: say`Choose the labels that belong to the images: idx1 is part of their file name.`,
      },
    );
  }
  const [count = 0, ...rest] = images.dims;
  const shaped = rest.length === 2 ? { ...images, dims: [count, 1, ...rest] } : images;
  return numericDataset(
    {
      name: basename(imageFile),
      file: imageFile,
      ...numberedLabels(data, classNames, labelFile),
      write: idxWriter({ file: imageFile, array: images }, { file: labelFile, array: labels }),
    },
    shaped,
    images.dtype === 'U8' ? 255 : 1,
  );
}

/** Path of the image file for a label file, or the reverse. */
async function sibling(file: string, kind: 'images' | 'labels'): Promise<string> {
  const match = fileName.exec(basename(file));
  if (match === null || match[2] === kind) {
    return file;
  }
  const [, start = '', , dot = '-'] = match;
  const stem = `${start}${kind}${dot}idx${kind === 'images' ? 3 : 1}-ubyte`;
  for (const name of [stem, `${stem}.gz`]) {
    const path = join(dirname(file), name);
    if ((await stat(path).catch(() => undefined)) !== undefined) {
      return path;
    }
  }
  throw new UserError(
    kind === 'images' ? 'images-file-missing' : 'labels-file-missing',
    kind === 'images'
      ? say`The images that belong to it are missing.`
      : say`The labels that belong to it are missing.`,
    { file, remedy: say`Put ${stem} next to it.` },
  );
}

/** Reads an IDX array, optionally compressed with gzip. */
async function readIdx(file: string): Promise<NumericArray> {
  const stored = await readWholeFile(file, maxArrayBytes, say`Save fewer examples.`);
  return parseIdx(extname(file) === '.gz' ? unpack(stored, file) : stored, file);
}

function unpack(packed: Buffer, file: string): Buffer {
  try {
    const maxOutputLength = Math.min(maxArrayBytes, maxUnpacked(packed.length));
    return gunzipSync(packed, { maxOutputLength });
  } catch (error) {
    throw new UserError(
      'archive-undecodable',
      say`The file cannot be unpacked: ${(error as Error).message}.`,
      { file, remedy: damaged },
    );
  }
}

/** Parses an IDX array. The header is 0, 0, type, number of axes and their sizes; numbers are big-endian. */
function parseIdx(bytes: Buffer, file: string): NumericArray {
  const fault = (code: ErrorCode, problem: Message): UserError =>
    new UserError(code, problem, { file, remedy: damaged });
  const dtype =
    bytes.length < 4 || bytes.readUInt16BE(0) !== 0 ? undefined : dtypes[bytes.readUInt8(2)];
  if (dtype === undefined) {
    throw fault('idx-signature-missing', say`This is not a file in the IDX format.`);
  }
  const axes = bytes.readUInt8(3);
  const dataStart = 4 + axes * 4;
  if (axes === 0 || dataStart > bytes.length) {
    throw fault('header-truncated', say`The file ends inside its header.`);
  }
  const dims = Array.from({ length: axes }, (_, axis) => bytes.readUInt32BE(4 + axis * 4));
  const type = arrayTypes[dtype];
  const expected = elementCount(dims) * type.BYTES_PER_ELEMENT;
  const data = bytes.subarray(dataStart);
  if (data.length !== expected) {
    throw fault(
      'idx-size-mismatch',
      say`[${dims.join(', ')}] of ${dtype} takes ${expected} bytes, but ${data.length} follow the header.`,
    );
  }
  return { dtype, dims, data: fromBigEndian(data, type) };
}

function fromBigEndian(data: Buffer, type: (typeof arrayTypes)[ArrayDType]): NumericArray['data'] {
  if (type.BYTES_PER_ELEMENT === 1) {
    return new type(data.buffer as ArrayBuffer, data.byteOffset, data.length);
  }
  const swapped = Buffer.from(data);
  switch (type.BYTES_PER_ELEMENT) {
    case 2:
      swapped.swap16();
      break;
    case 4:
      swapped.swap32();
      break;
    default:
      swapped.swap64();
  }
  const aligned = new Uint8Array(swapped);
  return new type(aligned.buffer, 0, data.length / type.BYTES_PER_ELEMENT);
}
