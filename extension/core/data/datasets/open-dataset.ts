import { stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { UserError, pathMissing } from '../../user-error';
import { listFiles } from '../list-files';
import { npyFeatures, openNpy, openNpz } from './array-files';
import { cifarBatches, isCifar, openCifar } from './cifar';
import { openCsv } from './csv';
import type { Dataset, DatasetOptions } from './dataset';
import { idxImages, isIdx, openIdx } from './idx';
import { isImage, openImageFolder } from './image-folder';
import { openJsonl } from './jsonl';
import { openParquet } from './parquet';
import { say } from '../../message';

const remedy = say`Datasets are folders of images (a folder for each class), MNIST (IDX) or CIFAR (binary) files, .npz and .npy arrays, .csv, .jsonl and .parquet tables.`;

type Opener = (file: string, options: DatasetOptions) => Promise<Dataset>;

/** User-visible names of options that some formats don't support. */
const optionNames = {
  label: 'label',
  text: 'text',
  features: 'features',
  imageSize: 'imageSize',
  imageChannels: 'gray',
} as const;
type Option = keyof typeof optionNames;

const arrayOptions = ['label', 'features'] as const;
const columnOptions = ['label', 'text', 'features'] as const;
const imageOptions = ['imageSize', 'imageChannels'] as const;

/** Readers by file extension, with the options they support. */
const openers: Readonly<Record<string, readonly [Opener, readonly Option[]]>> = {
  '.npz': [openNpz, arrayOptions],
  '.npy': [openNpy, arrayOptions],
  '.csv': [openCsv, columnOptions],
  '.tsv': [openCsv, columnOptions],
  '.jsonl': [openJsonl, columnOptions],
  '.ndjson': [openJsonl, columnOptions],
  '.parquet': [
    (file, options) => openParquet([file], options),
    [...columnOptions, ...imageOptions],
  ],
};

/** True if a single file can be a dataset. */
export const isDatasetFile = (file: string): boolean =>
  isIdx(file) || isCifar(file) || extname(file).toLowerCase() in openers;

/** @throws UserError naming an option that the format at `path` doesn't support. */
function requireActing(options: DatasetOptions, acting: readonly Option[], path: string): void {
  for (const [option, field] of Object.entries(optionNames)) {
    if (options[option as Option] !== undefined && !acting.includes(option as Option)) {
      throw new UserError('flag-without-effect', say`It has no effect on ${basename(path)}.`, {
        field,
        remedy: say`Leave it out.`,
      });
    }
  }
}

/**
 * Opens a labeled dataset in any supported format.
 * @throws UserError naming the file, the row and the invalid field.
 */
export async function openDataset(path: string, options: DatasetOptions = {}): Promise<Dataset> {
  const found = await stat(path).catch(() => {
    throw pathMissing(path);
  });
  return found.isDirectory() ? openFolder(path, options) : openFile(path, options);
}

async function openFile(file: string, options: DatasetOptions): Promise<Dataset> {
  if (isIdx(file)) {
    requireActing(options, [], file);
    return openIdx(file, options);
  }
  if (isCifar(file)) {
    requireActing(options, [], file);
    return openCifar([file], options);
  }
  const opener = openers[extname(file).toLowerCase()];
  if (opener === undefined) {
    throw new UserError('file-type-unsupported', say`Unsupported file type.`, { file, remedy });
  }
  const [open, acting] = opener;
  requireActing(options, acting, file);
  return open(file, options);
}

async function openFolder(folder: string, options: DatasetOptions): Promise<Dataset> {
  const files = await listFiles(folder);
  const images = idxImages(files, options.split);
  if (images !== undefined) {
    requireActing(options, [], folder);
    return openIdx(images, options);
  }
  const batches = cifarBatches(files, options.split);
  if (batches.length > 0) {
    requireActing(options, [], folder);
    return openCifar(batches, options);
  }
  const tables = files.filter((file) => extname(file).toLowerCase() === '.parquet');
  if (tables.length > 0) {
    return openParquet(filterSplit(tables, folder, options.split), options);
  }
  const features = npyFeatures(files, options);
  if (features !== undefined) {
    requireActing(options, arrayOptions, folder);
    return openNpy(features, options);
  }
  if (files.some(isImage)) {
    requireActing(options, imageOptions, folder);
    const top = imageRoot(folder, files, options.split);
    return openImageFolder(top, filesIn(top, files), options);
  }
  throw new UserError('dataset-missing', say`The folder has no dataset that Espalier can read.`, {
    file: folder,
    remedy,
  });
}

/** Tables of a split, named as Hugging Face does; all tables if none match. */
function filterSplit(
  tables: readonly string[],
  folder: string,
  split: 'train' | 'test' = 'train',
): readonly string[] {
  const named = (name: string): string[] =>
    tables.filter((file) =>
      new RegExp(`(?:^|[/\\\\_-])${name}(?:[/\\\\_.-]|$)`).test(file.slice(folder.length)),
    );
  const chosen = named(split);
  return chosen.length > 0 ? chosen : tables.filter((file) => !named('test').includes(file));
}

/** Folder whose subfolders are the classes: that of the split, if it exists. */
function imageRoot(
  folder: string,
  files: readonly string[],
  split: 'train' | 'test' = 'train',
): string {
  const part = join(folder, split);
  return filesIn(part, files).some(isImage) ? part : folder;
}

const filesIn = (folder: string, files: readonly string[]): string[] =>
  files.filter((file) => file.startsWith(join(folder, '/')));
