import { basename, extname, relative, sep } from 'node:path';
import { UserError } from '../../user-error';
import { readImage } from '../image/decode-image';
import { numericDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { ImageStack } from './image-stack';
import { namedLabels, classRowFinder } from './labels';
import { copyingWriter } from './write-part';
import { counted, say } from '../../message';

const extensions: ReadonlySet<string> = new Set(['.png', '.jpg', '.jpeg']);

/** Number of images read concurrently: opening a small file takes longer than decoding it. */
const atOnce = 16;

/** True if the file has an image extension. */
export const isImage = (file: string): boolean => extensions.has(extname(file).toLowerCase());

/**
 * Opens images, [channels, height, width], labeled by their folder.
 * @param files all files below `folder`, at any depth
 * @throws UserError naming an invalid image.
 */
export async function openImageFolder(
  folder: string,
  files: readonly string[],
  options: DatasetOptions,
): Promise<Dataset> {
  const pictures = files.filter(isImage);
  const skipped = files.length - pictures.length;
  const classes = pictures.map((file) => folderClass(folder, file));
  const labels = namedLabels(classes, options.classNames ?? [...new Set(classes)].sort(), folder);
  const images = new ImageStack(pictures.length, options);
  for (let start = 0; start < pictures.length; start += atOnce) {
    const batch = pictures.slice(start, start + atOnce);
    const read = await Promise.all(batch.map(async (file) => readImage(file)));
    read.forEach((image, i) => {
      images.push(image, { file: batch[i] ?? folder });
    });
  }
  return numericDataset(
    {
      name: basename(folder),
      file: folder,
      ...labels,
      place: (index) => relative(folder, pictures[index] ?? ''),
      write: copyingWriter(folder, pictures, classRowFinder(labels, folder)),
      warnings: skipped === 0 ? [] : [say`${folder}: ${counted(skipped, 'other file')} skipped.`],
    },
    images.toArray(),
    255,
  );
}

function folderClass(folder: string, file: string): string {
  const [name = '', ...rest] = relative(folder, file).split(sep);
  if (rest.length === 0) {
    throw new UserError(
      'image-without-class',
      say`The image must be in a folder named after its class.`,
      {
        file,
        remedy: say`Put the images of each class into a folder named after it.`,
      },
    );
  }
  return name;
}
