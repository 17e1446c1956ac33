import { createHash } from 'node:crypto';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { isFloat, numberAt } from '../../checkpoints/numeric-array';
import type { NumericArray } from '../../checkpoints/numeric-array';
import type { PartWriter } from './write-part';
import { counted, say } from '../../message';
import type { Message } from '../../message';
import * as v from 'valibot';

/** Labeled examples, in the order in which they are stored. */
export interface Dataset {
  readonly name: string;
  /** Number of examples. */
  readonly size: number;
  /** Class names, by label. */
  readonly classNames: readonly string[];
  /** Feature shape of one example; [0] for texts. Images are channels-first. */
  readonly featureShape: readonly number[];
  /** SHA-256 (hex) over features, labels and class names. */
  readonly fingerprint: string;
  /** Features of the given examples, [indices.length, ...featureShape]. Image samples are 0 to 1. */
  features(indices: Int32Array | readonly number[]): Float32Array;
  /** Class index of every example. */
  readonly labels: Int32Array;
  /** Text of an example, if examples are texts. */
  text?(index: number): string;
  /** Feature names, if features are columns of a table. */
  readonly columns?: readonly string[];
  /** Path of an example within the dataset; absent for datasets in one file. */
  place?(index: number): string;
  /** Writes a subset of the examples in the same format. */
  readonly writePart: PartWriter;
  /** Warnings for the user. */
  readonly warnings: readonly Message[];
}

/** Options for datasets whose contents can't be inferred. */
export interface DatasetOptions {
  /** Split to use, if there are several. */
  readonly split?: 'train' | 'test';
  /** Name of the label column or array. */
  readonly label?: string;
  /** Name of the text column. */
  readonly text?: string;
  /** Names of the feature columns, or of the single feature array. */
  readonly features?: readonly string[];
  /** Classes in order; by default those that occur. */
  readonly classNames?: readonly string[];
  /** Size to which images are resized. By default, all images must have the same size. */
  readonly imageSize?: { readonly height: number; readonly width: number };
  /** 1 for grayscale, 3 (default) for color. */
  readonly imageChannels?: 1 | 3;
}

/** Contents of a dataset. */
interface DatasetParts {
  readonly name: string;
  readonly file: string;
  readonly classNames: readonly string[];
  readonly labels: Int32Array;
  readonly warnings?: readonly Message[];
  readonly columns?: readonly string[];
  readonly place?: (index: number) => string;
  readonly write: PartWriter;
}

/** Name of a row in messages, counted from 1. */
export const rowName = (row: number): string => `row ${row + 1}`;

/**
 * Creates a dataset from a numeric array whose first axis is the example.
 * @param divisor divides all values
 * @throws UserError naming the row of a value that is not finite.
 */
export function numericDataset(parts: DatasetParts, array: NumericArray, divisor = 1): Dataset {
  const { labels, file } = parts;
  const featureShape = array.dims.slice(1);
  const step = elementCount(featureShape);
  checkSize(labels, array.dims[0] ?? 0, file);
  checkFinite(array, step, file);
  return {
    ...base(parts, (hash) => {
      hash.update(`${array.dtype} [${array.dims.join(', ')}] ${divisor}\n`);
      hash.update(viewBytes(array.data));
    }),
    featureShape,
    features: (indices) => {
      const features = new Float32Array(indices.length * step);
      indices.forEach((index, i) => {
        copyNumbers(array, index * step, divisor, features.subarray(i * step, (i + 1) * step));
      });
      return features;
    },
  };
}

/** Separate loops for uint8 and float32, for speed. */
function copyNumbers(array: NumericArray, start: number, divisor: number, to: Float32Array): void {
  const { data } = array;
  if (data instanceof Float32Array && divisor === 1) {
    to.set(data.subarray(start, start + to.length));
  } else if (data instanceof Uint8Array) {
    for (let i = 0; i < to.length; i++) {
      to[i] = (data[start + i] ?? 0) / divisor;
    }
  } else {
    for (let i = 0; i < to.length; i++) {
      to[i] = numberAt(array, start + i) / divisor;
    }
  }
}

/** Creates a dataset of texts. */
export function textDataset(parts: DatasetParts, texts: readonly string[]): Dataset {
  checkSize(parts.labels, texts.length, parts.file);
  return {
    ...base(parts, (hash) => {
      for (const text of texts) {
        hash.update(`${Buffer.byteLength(text)}\n${text}`);
      }
    }),
    featureShape: [0],
    features: () => new Float32Array(0),
    text: (index) => texts[index] ?? outside(index, texts.length),
  };
}

/** Creates a dataset from a subset of examples, in the given order. */
export function datasetSubset(dataset: Dataset, indices: Int32Array): Dataset {
  const hash = createHash('sha256').update(dataset.fingerprint).update(viewBytes(indices));
  return {
    name: dataset.name,
    size: indices.length,
    classNames: dataset.classNames,
    featureShape: dataset.featureShape,
    fingerprint: hash.digest('hex'),
    features: (chosen) => dataset.features(Array.from(chosen, (i) => indices[i] ?? 0)),
    labels: indices.map((index) => dataset.labels[index] ?? 0),
    ...(dataset.text === undefined
      ? {}
      : { text: (index: number) => dataset.text?.(indices[index] ?? 0) ?? '' }),
    ...(dataset.columns === undefined ? {} : { columns: dataset.columns }),
    ...(dataset.place === undefined
      ? {}
      : { place: (index: number) => dataset.place?.(indices[index] ?? 0) ?? '' }),
    writePart: async (chosen, folder, context, relabeled) =>
      dataset.writePart(
        chosen.map((index) => indices[index] ?? 0),
        folder,
        context,
        new Map([...relabeled].map(([index, label]) => [indices[index] ?? 0, label])),
      ),
    warnings: dataset.warnings,
  };
}

function base(
  { name, classNames, labels, warnings = [], columns, place, write }: DatasetParts,
  hashFeatures: (hash: { update: (data: string | Uint8Array) => unknown }) => void,
): Omit<Dataset, 'featureShape' | 'features' | 'text'> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(classNames));
  hash.update(viewBytes(labels));
  hashFeatures(hash);
  return {
    name,
    size: labels.length,
    classNames,
    labels,
    fingerprint: hash.digest('hex'),
    ...(columns === undefined ? {} : { columns }),
    ...(place === undefined ? {} : { place }),
    writePart: write,
    warnings: [...warnings, ...emptyClasses(labels, classNames)],
  };
}

/** Warns about classes without examples, which training can't learn. */
function emptyClasses(labels: Int32Array, classNames: readonly string[]): Message[] {
  const found = new Set(labels);
  const empty = classNames.filter((_, i) => !found.has(i));
  const more = empty.length > 10 ? ` and ${empty.length - 10} more` : '';
  return empty.length === 0
    ? []
    : [say`No example has the class ${empty.slice(0, 10).join(', ')}${more}.`];
}

const viewBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function outside(index: number, size: number): never {
  throw new RangeError(`example ${index} of ${size}`);
}

function checkSize(labels: Int32Array, size: number, file: string): void {
  if (labels.length !== size) {
    throw new UserError(
      'label-count-mismatch',
      say`It has ${counted(size, 'example')}, but ${counted(labels.length, 'label')}.`,
      { file, remedy: say`Save one label for each example.` },
    );
  }
  if (size === 0) {
    throw new UserError('examples-missing', say`It contains no examples.`, {
      file,
      remedy: say`Choose another dataset.`,
    });
  }
}

function checkFinite(array: NumericArray, step: number, file: string): void {
  for (let i = 0; isFloat(array.dtype) && i < array.data.length; i++) {
    const value = numberAt(array, i);
    if (!Number.isFinite(value)) {
      throw new UserError(
        'example-not-finite',
        say`Value ${(i % step) + 1} of the example is ${value}.`,
        {
          file,
          field: rowName(Math.floor(i / step)),
          remedy: say`Leave out or fix examples with values that are not finite.`,
        },
      );
    }
  }
}

const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const names = v.pipe(v.array(v.string()), v.readonly());

/** Schema of `DatasetOptions` in documents. */
export const datasetOptionsSchema = v.object({
  split: v.exactOptional(v.picklist(['train', 'test'])),
  label: v.exactOptional(v.string()),
  text: v.exactOptional(v.string()),
  features: v.exactOptional(names),
  classNames: v.exactOptional(names),
  imageSize: v.exactOptional(v.object({ height: size, width: size })),
  imageChannels: v.exactOptional(v.picklist([1, 3])),
});
