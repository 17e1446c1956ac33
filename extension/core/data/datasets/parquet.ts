import { basename } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as decompressZstd } from 'fzstd';
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import type { AsyncBuffer, Compressors, FileMetaData } from 'hyparquet';
import * as v from 'valibot';
import { withRegularFile } from '../../checkpoints/regular-file';
import { UserError } from '../../user-error';
import { decodeImage } from '../image/decode-image';
import { maxArrayBytes } from '../npy';
import { columnRoles } from './columns';
import { numericDataset, rowName, textDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { ImageStack } from './image-stack';
import { namedLabels, numberedLabels } from './labels';
import type { Labels } from './labels';
import { NestedNumbers, isList } from './nested-numbers';

/** Most rows of all files. */
const maxRows = 50_000_000;
/** Rows that are unpacked at once. */
const rowsAtOnce = 1000;
/** Largest page that is unpacked, in bytes. */
const maxPageBytes = 2 ** 30;
/** Columns in which pandas keeps its index. */
const indexColumn = /^__index_level_\d+__$/;

const boundedSize = (size: number): number => {
  if (size > maxPageBytes) {
    throw new Error(`a page of ${size} bytes is too large`);
  }
  return size;
};

/** Those that hyparquet does not bring along, none of which unpacks to more than is expected. */
const compressors: Compressors = {
  GZIP: (input, size) => gunzipSync(input, { maxOutputLength: boundedSize(size) }),
  BROTLI: (input, size) => brotliDecompressSync(input, { maxOutputLength: boundedSize(size) }),
  ZSTD: (input, size) => decompressZstd(input, new Uint8Array(boundedSize(size))),
};

/** What the library datasets writes about the columns, under the key `huggingface`. */
const huggingFaceSchema = v.object({
  info: v.object({
    features: v.record(
      v.string(),
      v.looseObject({ _type: v.optional(v.string()), names: v.optional(v.array(v.string())) }),
    ),
  }),
});
type HuggingFaceFeatures = v.InferOutput<typeof huggingFaceSchema>['info']['features'];

/** The columns of a file and what they are for. */
interface Layout {
  readonly label: string;
  readonly kind: 'image' | 'text' | 'numbers';
  /** Columns with the features. */
  readonly features: readonly string[];
  /** Names of the classes, where the file knows them. */
  readonly classNames: readonly string[] | undefined;
}

type Row = Readonly<Record<string, unknown>>;

/** Where a row lies, for messages. */
interface RowPlace {
  readonly file: string;
  readonly field: string;
}

/**
 * Opens the rows of Parquet files of the same columns, in the order given: images, texts or numbers,
 * and labels, whose names come from the metadata of Hugging Face's datasets if there are any.
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
    throw new UserError(`There are ${size} rows; at most ${maxRows} are read.`, { file });
  }
  const layout = await withParquet(file, (_, metadata) =>
    Promise.resolve(layoutOf(metadata, options, file)),
  );
  const labels: unknown[] = [];
  const features = collector(layout, size, options);
  await eachRow(files, layout, (row, place) => {
    labels.push(row[layout.label]);
    features.push(row, place);
  });
  const field = (row: number): string => placeOf(row, files, counts, layout.label);
  return features.finish({
    name: basename(file),
    file,
    ...toLabels(labels, options.classNames ?? layout.classNames, file, field),
  });
}

function placeOf(
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

/** Opens a file and turns what the library throws into an error that names it. */
async function withParquet<T>(
  path: string,
  read: (buffer: AsyncBuffer, metadata: FileMetaData) => Promise<T>,
): Promise<T> {
  return withRegularFile(path, async ({ handle, size }) => {
    const slice = async (start: number, end: number): Promise<ArrayBuffer> => {
      if (!(start >= 0 && start <= end && end <= size && end - start <= maxArrayBytes)) {
        throw new Error(`bytes ${start} to ${end} are not in the file`);
      }
      const bytes = new Uint8Array(end - start);
      await handle.read(bytes, 0, bytes.length, start);
      return bytes.buffer;
    };
    const buffer: AsyncBuffer = {
      byteLength: size,
      slice: (start, end = size) => {
        const bytes = slice(start, end);
        // The library leaves what it read ahead alone when something else fails first.
        bytes.catch(() => undefined);
        return bytes;
      },
    };
    try {
      return await read(buffer, await parquetMetadataAsync(buffer, { geoparquet: false }));
    } catch (error) {
      throw error instanceof UserError
        ? error
        : new UserError(`The file cannot be read: ${(error as Error).message}.`, {
            file: path,
            remedy: 'The file is damaged, incomplete or not Parquet: download or save it again.',
          });
    }
  });
}

function layoutOf(metadata: FileMetaData, options: DatasetOptions, file: string): Layout {
  const known = huggingFaceFeatures(metadata);
  const ofType = (type: string): string[] =>
    Object.keys(known).filter((name) => known[name]?._type === type);
  const { children } = parquetSchema(metadata);
  const columns = children
    .map(({ element }) => element.name)
    .filter((name) => !indexColumn.test(name));
  const [classLabel, ...otherClassLabels] = ofType('ClassLabel');
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
    const result = v.safeParse(huggingFaceSchema, JSON.parse(text ?? '{}'));
    return result.success ? result.output.info.features : {};
  } catch {
    // The rows can be read without them.
    return {};
  }
}

async function eachRow(
  files: readonly string[],
  { label, features }: Layout,
  visit: (row: Row, place: RowPlace) => void,
): Promise<void> {
  for (const path of files) {
    await withParquet(path, async (file, metadata) => {
      const columns = [label, ...features];
      const end = Number(metadata.num_rows);
      for (let rowStart = 0; rowStart < end; rowStart += rowsAtOnce) {
        const rowEnd = Math.min(end, rowStart + rowsAtOnce);
        const rows: Row[] = await parquetReadObjects({
          file,
          metadata,
          columns,
          rowStart,
          rowEnd,
          compressors,
          utf8: false,
          geoparquet: false,
        });
        if (rows.length !== rowEnd - rowStart) {
          throw new Error(`rows are missing from ${rowStart + rows.length} on`);
        }
        rows.forEach((row, i) => {
          visit(row, { file: path, field: rowName(rowStart + i) });
        });
      }
    });
  }
}

type Parts = Parameters<typeof textDataset>[0];

/** What collects the features row by row and makes a data set of them. */
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
          texts.push(textOf(row[only], at(place)));
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
            remedy: `The features are the columns ${features.slice(0, 20).join(', ')}: say which are meant.`,
          });
        },
        finish: (parts) => numericDataset(parts, numbers.toArray()),
      };
    }
  }
}

function imageBytes(value: unknown, place: RowPlace): Buffer {
  const bytes = (value as { bytes?: unknown } | null | undefined)?.bytes;
  if (!(bytes instanceof Uint8Array)) {
    throw new UserError('The image is missing.', {
      ...place,
      remedy: 'Save the data set with its images embedded.',
    });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function textOf(value: unknown, place: RowPlace): string {
  if (typeof value === 'string') {
    return value;
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value).toString('utf8');
  }
  throw new UserError('The text is missing.', place);
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
      throw new UserError('The label is missing or neither a name nor a number.', {
        file,
        field: field(i),
        remedy: 'Give the row a label or leave it out.',
      });
    }
    return plain;
  });
  return scalars.every((value) => typeof value !== 'string')
    ? numberedLabels(scalars, classNames, file, field)
    : namedLabels(scalars.map(String), classNames, file, field);
}
