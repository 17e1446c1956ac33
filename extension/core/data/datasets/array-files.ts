import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { UserError } from '../../user-error';
import { readNpy } from '../npy';
import { readNpz } from '../npz';
import { describeArray, isFloat, numberAt } from '../../checkpoints/numeric-array';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { numericDataset, rowName } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { numberedLabels } from './labels';
import type { Labels } from './labels';
import { npyWriter, npzWriter } from './write-part';
import type { PartWriter } from './write-part';
import { counted, say } from '../../message';

/** Common array names. The first match is used. */
const defaultNames = {
  features: ['x', 'data', 'images', 'features'],
  labels: ['y', 'labels', 'label', 'targets', 'target'],
} as const;
type Role = keyof typeof defaultNames;

/** Array names to search for, in order; names of the requested split come first. */
function candidates(role: Role, split: 'train' | 'test' = 'train'): string[] {
  return [
    ...defaultNames[role].flatMap((name) => [`${name}_${split}`, `${split}_${name}`]),
    ...defaultNames[role],
  ];
}

const wanted = (role: Role, { features, label }: DatasetOptions): string | undefined =>
  role === 'features' ? features?.[0] : label;

/**
 * Opens features and labels in one .npz file, named x and y, x_train and y_train, or as given by the options. uint8
 * features with two or more axes per example are images and are divided by 255.
 * @throws UserError naming the file, the array and the row.
 */
export async function openNpz(file: string, options: DatasetOptions): Promise<Dataset> {
  const arrays = await readNpz(file);
  const find = (role: Role): [string, NumericArray] => {
    const asked = wanted(role, options);
    for (const name of asked === undefined ? candidates(role, options.split) : [asked]) {
      const found = [...arrays].find(([key]) => key.toLowerCase() === name.toLowerCase());
      if (found !== undefined) {
        return found;
      }
    }
    throw new UserError(
      role === 'features' ? 'features-array-missing' : 'labels-array-missing',
      role === 'features'
        ? say`It has no array with the features, only ${[...arrays.keys()].join(', ')}.`
        : say`It has no array with the labels, only ${[...arrays.keys()].join(', ')}.`,
      {
        file,
        ...(asked === undefined ? {} : { field: asked }),
        remedy: say`Name the arrays x and y, or specify which ones to use.`,
      },
    );
  };
  const [featureName, features] = find('features');
  const [labelName, labels] = find('labels');
  const write = npzWriter(file, arrays, { features: featureName, labels: labelName });
  return arrayDataset({ features, file, labels, labelFile: file, labelName, write }, options);
}

/** Returns the feature file of a folder if there is also a label file. */
export function npyFeatures(files: readonly string[], options: DatasetOptions): string | undefined {
  return findNpy('features', files, options) !== undefined && findNpy('labels', files, options)
    ? findNpy('features', files, options)
    : undefined;
}

function findNpy(
  role: Role,
  files: readonly string[],
  options: DatasetOptions,
): string | undefined {
  for (const name of candidates(role, options.split)) {
    const found = files.find((file) => basename(file).toLowerCase() === `${name}.npy`);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

/**
 * Opens features in a .npy file with labels in a second file next to it: x.npy and y.npy.
 * @throws UserError naming the file and the row.
 */
export async function openNpy(file: string, options: DatasetOptions): Promise<Dataset> {
  const labelFile = await findLabelFile(file, options);
  const [features, labels] = [await readNpy(file), await readNpy(labelFile)];
  const write = npyWriter({ file, array: features }, { file: labelFile, array: labels });
  return arrayDataset({ features, file, labels, labelFile, write }, options);
}

async function findLabelFile(file: string, { label }: DatasetOptions): Promise<string> {
  const stem = basename(file, extname(file));
  const places = defaultNames.features.map((name) => new RegExp(`(?<=^|_)${name}(?=$|_)`, 'i'));
  const pattern = places.find((place) => place.test(stem));
  const names =
    label !== undefined
      ? [label.replace(/\.npy$/, '')]
      : defaultNames.labels.flatMap((name) =>
          pattern === undefined ? [name] : [stem.replace(pattern, name), name],
        );
  for (const name of names) {
    const path = join(dirname(file), `${name}.npy`);
    if ((await stat(path).catch(() => undefined)) !== undefined) {
      return path;
    }
  }
  throw new UserError('labels-file-missing', say`The labels that belong to it are missing.`, {
    file,
    remedy: say`Put ${names[0] ?? 'y'}.npy next to it, or save both with numpy.savez.`,
  });
}

interface ArrayParts {
  readonly features: NumericArray;
  readonly file: string;
  readonly labels: NumericArray;
  readonly labelFile: string;
  /** Name of the label array in archives. */
  readonly labelName?: string;
  readonly write: PartWriter;
}

function arrayDataset(
  { features, file, labels, labelFile, labelName, write }: ArrayParts,
  { classNames }: DatasetOptions,
): Dataset {
  const field = (row: number): string =>
    labelName === undefined ? rowName(row) : `${labelName}: ${rowName(row)}`;
  if (features.dims.length === 0) {
    throw new UserError('array-scalar', say`It is a single number.`, {
      file,
      remedy: say`Save an array with one row per example.`,
    });
  }
  const count = (array: NumericArray): number => array.dims[0] ?? 0;
  if (labels.dims.length > 0 && count(features) !== count(labels)) {
    throw new UserError(
      'label-count-mismatch',
      say`It has ${counted(count(features), 'example')}, but ${counted(count(labels), 'label')}.`,
      { file, remedy: say`Save one label for each example.` },
    );
  }
  const isImage = features.dtype === 'U8' && features.dims.length >= 3;
  return numericDataset(
    { name: basename(file), file, ...toLabels(labels, classNames, labelFile, field), write },
    features,
    isImage ? 255 : 1,
  );
}

/** Labels from an array of class indices, or of one-hot rows. */
function toLabels(
  array: NumericArray,
  classNames: readonly string[] | undefined,
  file: string,
  field: (row: number) => string,
): Labels {
  const [size = 0, width = 1, ...more] = array.dims;
  if (array.dims.length === 0 || more.length > 0 || (isFloat(array.dtype) && width === 1)) {
    throw new UserError(
      'labels-not-integers',
      say`Labels must be integers [examples], but it is ${describeArray(array)}.`,
      { file, remedy: say`Save them with astype("int64").` },
    );
  }
  if (width === 1) {
    return numberedLabels(array.data, classNames, file, field);
  }
  const classes = Int32Array.from({ length: size }, (_, row) =>
    oneHot(array, row, width, file, field),
  );
  const names = classNames ?? Array.from({ length: width }, (_, i) => String(i));
  return numberedLabels(classes, names, file, field);
}

function oneHot(
  array: NumericArray,
  row: number,
  width: number,
  file: string,
  field: (row: number) => string,
): number {
  const values = Array.from({ length: width }, (_, i) => numberAt(array, row * width + i));
  if (
    values.filter((value) => value === 1).length !== 1 ||
    values.some((value) => value !== 0 && value !== 1)
  ) {
    throw new UserError(
      'one-hot-invalid',
      say`The row is not one-hot: it must have a single 1 among zeros.`,
      { file, field: field(row), remedy: undefined },
    );
  }
  return values.indexOf(1);
}
