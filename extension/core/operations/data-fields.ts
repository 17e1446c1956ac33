import type { DatasetOptions } from '../data/datasets/dataset';
import { flag, formed, group, list, path, text } from './fields';
import type { GivenOf } from './fields';
import { say } from '../message';

const dataFacts = {
  description:
    'Dataset: a folder of images, or MNIST, CIFAR, .npz, .npy, .csv, .jsonl or .parquet files',
  placeholder: 'DIR',
} as const;

export const dataField = path({ ...dataFacts, required: true });

/** Dataset field of operations that don't require one. */
export const optionalDataField = path(dataFacts);

/** Test dataset field of operations that measure accuracy. */
export const testField = path({
  description: 'Test data',
  fallback: 'the test part of the dataset, or examples held out from it',
  placeholder: 'DIR',
});

/** Options for reading a dataset whose files don't determine its format. */
export const datasetFields = group('Data set', {
  label: text({ description: 'Column or array with the labels', placeholder: 'COLUMN' }),
  text: text({ description: 'Column with the texts', placeholder: 'COLUMN' }),
  features: list({
    description: 'Columns, or the one array, with the features',
    placeholder: 'COLUMN,…',
  }),
  classes: list({
    description: 'Classes in order; a JSON array if a name contains a comma',
    fallback: 'the classes in the data',
  }),
  imageSize: formed(
    { pattern: /^[1-9]\d{0,4}x[1-9]\d{0,4}$/, takes: say`a size such as 32x32` },
    {
      description: 'Resize images to this height and width',
      placeholder: 'HxW',
      unit: 'pixels',
    },
  ),
  gray: flag({ description: 'Convert images to grayscale', default: false }),
});

/** Options for opening the dataset of a request. */
export function datasetOptions({
  label,
  text: column,
  features,
  classes,
  imageSize,
  gray,
}: GivenOf<typeof datasetFields>): DatasetOptions {
  const [height, width] = imageSize?.split('x').map(Number) ?? [];
  return {
    ...(label === undefined ? {} : { label }),
    ...(column === undefined ? {} : { text: column }),
    ...(features === undefined ? {} : { features }),
    ...(classes === undefined ? {} : { classNames: classes }),
    ...(height === undefined || width === undefined ? {} : { imageSize: { height, width } }),
    ...(gray === true ? { imageChannels: 1 } : {}),
  };
}

/** Dataset options as fields of a request. */
export function datasetGiven({
  label,
  text: column,
  features,
  classNames,
  imageSize,
  imageChannels,
}: DatasetOptions): GivenOf<typeof datasetFields> {
  return {
    ...(label === undefined ? {} : { label }),
    ...(column === undefined ? {} : { text: column }),
    ...(features === undefined ? {} : { features }),
    ...(classNames === undefined ? {} : { classes: classNames }),
    ...(imageSize === undefined ? {} : { imageSize: `${imageSize.height}x${imageSize.width}` }),
    ...(imageChannels === 1 ? { gray: true } : {}),
  };
}
