import { basename } from 'node:path';
import { parquetSchema } from 'hyparquet';
import type { FileMetaData } from 'hyparquet';
import * as v from 'valibot';
import { UserError } from '../../user-error';
import { decodeImage } from '../image/decode-image';
import { checkParquet } from './check-parquet';
import { columnRoles } from './columns';
import { numericDataset, rowName, textDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { ImageStack } from './image-stack';
import { namedLabels, numberedLabels, classRowFinder } from './labels';
import type { Labels } from './labels';
import { NestedNumbers, isList } from './nested-numbers';
import { eachChunk, withParquet } from './parquet-file';
import type { Row } from './parquet-file';
import { parquetWriter } from './write-parquet';
import { counted, say } from '../../message';
import { parseJsonText } from '../../parse-json';

/** Maximum number of rows in all files. */
const maxRows = 50_000_000;
/** Index columns written by pandas. */
const indexColumn = /^__index_level_\d+__$/;

/** Schema of the column metadata that Hugging Face datasets writes under the key `huggingface`. */
const huggingFaceSchema = v.object({
  info: v.object({
    features: v.record(
      v.string(),
      v.looseObject({ _type: v.optional(v.string()), names: v.optional(v.array(v.string())) }),
    ),
  }),
});
type HuggingFaceFeatures = v.InferOutput<typeof huggingFaceSchema>['info']['features'];

/** Roles of the columns of a file. */
interface Layout {
  readonly label: string;
  readonly kind: 'image' | 'text' | 'numbers';
  /** Feature columns. */
  readonly features: readonly string[];
  /** Class names, if the file stores them. */
  readonly classNames: readonly string[] | undefined;
}

/** Location of a row, for messages. */
interface RowPlace {
  readonly file: string;
  readonly field: string;
}

/**
 * Opens the rows of Parquet files with the same columns, in the given order: images, texts or numbers, with labels.
 * Class names come from the metadata of Hugging Face datasets if present.
 * @throws UserError naming the file, the row and the column.
 */
export async function openParquet(
  files: readonly string[],
  options: DatasetOptions,
): Promise<Dataset> {
  const [file = ''] = files;
  const counts: number[] = [];
  for (const each of files) {
    counts.push(await withParquet(each, (_, { num_rows }) => Promise.resolve(Number(num_rows))));
  }
  const size = counts.reduce((sum, count) => sum + count, 0);
  if (size > maxRows) {
    throw new UserError(
      'parquet-too-many-rows',
      say`It has ${counted(size, 'row')}; at most ${maxRows} are read.`,
      {
        file,
        remedy: say`Choose fewer files, or save fewer rows.`,
      },
    );
  }
  const layout = await withParquet(file, (_, metadata) =>
    Promise.resolve(detectLayout(metadata, options, file)),
  );
  const labels: unknown[] = [];
  const features = collector(layout, size, options);
  const columns = [layout.label, ...layout.features];
  await checkParquet(files, columns);
  for (const path of files) {
    await eachChunk(path, columns, (rows, start) => {
      rows.forEach((row, i) => {
        labels.push(row[layout.label]);
        features.push(row, { file: path, field: rowName(start + i) });
      });
    });
  }
  const field = (row: number): string => rowPlace(row, files, counts, layout.label);
  const named = toLabels(labels, options.classNames ?? layout.classNames, file, field);
  const classRow = classRowFinder(named, file);
  const classValue = (label: number): unknown => labels[classRow(label)];
  return features.finish({
    name: basename(file),
    file,
    ...named,
    write: parquetWriter(files, counts, { label: layout.label, valueOf: classValue }),
  });
}

function rowPlace(
  row: number,
  files: readonly string[],
  counts: readonly number[],
  column: string,
): string {
  let rest = row;
  let i = 0;
  while (i < counts.length - 1 && rest >= (counts[i] ?? 0)) {
    rest -= counts[i++] ?? 0;
  }
  return `${i === 0 ? '' : `${basename(files[i] ?? '')}, `}${rowName(rest)}, ${column}`;
}

function detectLayout(metadata: FileMetaData, options: DatasetOptions, file: string): Layout {
  const known = huggingFaceFeatures(metadata);
  const columnsByType = (type: string): string[] =>
    Object.keys(known).filter((name) => known[name]?._type === type);
  const { children } = parquetSchema(metadata);
  const columns = children
    .map(({ element }) => element.name)
    .filter((name) => !indexColumn.test(name));
  const [classLabel, ...otherClassLabels] = columnsByType('ClassLabel');
  const label =
    options.label ??
    (otherClassLabels.length === 0 && columns.includes(classLabel ?? '') ? classLabel : undefined);
  const roles = columnRoles(columns, label === undefined ? options : { ...options, label }, file);
  const images = children
    .filter((child) => child.children.some(({ element }) => element.name === 'bytes'))
    .map(({ element }) => element.name);
  const image = (options.features ?? images).find((name) => images.includes(name));
  const classNames = known[roles.label]?.names;
  const common = { label: roles.label, classNames };
  if (image !== undefined && options.text === undefined) {
    return { ...common, kind: 'image', features: [image] };
  }
  return roles.text === undefined
    ? { ...common, kind: 'numbers', features: roles.features }
    : { ...common, kind: 'text', features: [roles.text] };
}

function huggingFaceFeatures({
  key_value_metadata: pairs = [],
}: FileMetaData): HuggingFaceFeatures {
  const text = pairs.find(({ key }) => key === 'huggingface')?.value;
  try {
    const result = v.safeParse(huggingFaceSchema, parseJsonText(text ?? '{}'));
    return result.success ? result.output.info.features : {};
  } catch {
    // This metadata is optional.
    return {};
  }
}

type Parts = Parameters<typeof textDataset>[0];

/** Collects features row by row, then creates a dataset. */
interface Collector {
  readonly push: (row: Row, place: RowPlace) => void;
  readonly finish: (parts: Parts) => Dataset;
}

function collector({ kind, features }: Layout, size: number, options: DatasetOptions): Collector {
  const [only = '', ...more] = features;
  const at = ({ file, field }: RowPlace): RowPlace => ({ file, field: `${field}, ${only}` });
  switch (kind) {
    case 'image': {
      const stack = new ImageStack(size, options);
      return {
        push: (row, place) => {
          const { file, field } = at(place);
          stack.push(decodeImage(imageBytes(row[only], at(place)), file, field), at(place));
        },
        finish: (parts) => numericDataset(parts, stack.toArray(), 255),
      };
    }
    case 'text': {
      const texts: string[] = [];
      return {
        push: (row, place) => {
          texts.push(requireText(row[only], at(place)));
        },
        finish: (parts) => textDataset(parts, texts),
      };
    }
    case 'numbers': {
      const numbers = new NestedNumbers();
      return {
        push: (row, place) => {
          const list = more.length === 0 && isList(row[only]) ? row[only] : undefined;
          const fault = features.find((name) => typeof row[name] === 'object') ?? only;
          numbers.push(list ?? features.map((name) => row[name]), {
            ...place,
            field: `${place.field}, ${fault}`,
            remedy: say`The features could be the columns ${features.slice(0, 20).join(', ')}: specify which ones to use.`,
          });
        },
        finish: (parts) => {
          const array = numbers.toArray();
          const areColumns = array.dims.length === 2 && array.dims[1] === features.length;
          return numericDataset(areColumns ? { ...parts, columns: features } : parts, array);
        },
      };
    }
  }
}

function imageBytes(value: unknown, place: RowPlace): Buffer {
  const bytes = (value as { bytes?: unknown } | null | undefined)?.bytes;
  if (!(bytes instanceof Uint8Array)) {
    throw new UserError('image-missing', say`The image is missing.`, {
      ...place,
      remedy: say`Save the dataset with its images embedded.`,
    });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function requireText(value: unknown, place: RowPlace): string {
  if (typeof value === 'string') {
    return value;
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value).toString('utf8');
  }
  throw new UserError('text-missing', say`The text is missing.`, {
    ...place,
    remedy: say`Add a text to the row, or delete it.`,
  });
}

function toLabels(
  values: readonly unknown[],
  classNames: readonly string[] | undefined,
  file: string,
  field: (row: number) => string,
): Labels {
  const scalars = values.map((value, i) => {
    const plain = value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value;
    if (typeof plain === 'boolean') {
      return Number(plain);
    }
    if (typeof plain !== 'string' && typeof plain !== 'number' && typeof plain !== 'bigint') {
      throw new UserError(
        'label-invalid',
        say`The label is missing or neither a name nor a number.`,
        { file, field: field(i), remedy: say`Add a label to the row, or delete it.` },
      );
    }
    return plain;
  });
  return scalars.every((value) => typeof value !== 'string')
    ? numberedLabels(scalars, classNames, file, field)
    : namedLabels(scalars.map(String), classNames, file, field);
}
