import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, relative, sep, basename, join } from 'node:path';
import { readSmallText, withRegularFile } from '../regular-file';
import type { RegularFile } from '../regular-file';
import { fileMissing, UserError } from '../user-error';
import { say } from '../message';

/**
 * `models--OWNER--NAME/snapshots/REVISION`, whose files are links into `models--OWNER--NAME/blobs`.
 */
const snapshot = /^(.*[/\\]models--(?:[^/\\]+--)?([^/\\]+))[/\\]snapshots[/\\][^/\\]+/;

/** Folder of the files of a snapshot in a Hugging Face cache; undefined for other folders. */
function blobsFolder(folder: string): string | undefined {
  const [, repository] = snapshot.exec(folder) ?? [];
  return repository === undefined ? undefined : join(repository, 'blobs');
}

/**
 * Folder name to show for a model: the repository for a folder in a Hugging Face cache, and the parent for a folder
 * named `onnx`.
 */
export function modelFolderName(folder: string): string {
  const own = basename(folder) === 'onnx' ? folder.slice(0, -`${sep}onnx`.length) : folder;
  const [all, , repository] = snapshot.exec(own) ?? [];
  return repository !== undefined && all === own ? repository : basename(own);
}

/**
 * Name to show for the path of a model: that of its folder for `model.onnx`, a name that most models share, and that of
 * the folder above for a folder named `onnx`.
 */
export function modelPathName(path: string): string {
  return modelFolderName(basename(path) === 'model.onnx' ? dirname(path) : path);
}

/**
 * True if a file belongs to a model: it is inside the model's folder, or in the `blobs` of the same Hugging Face cache.
 * @param folder absolute path, links resolved
 * @param file absolute path, links resolved
 */
export function belongsToFolder(folder: string, file: string): boolean {
  const blobs = blobsFolder(folder);
  return isInside(folder, file) || (blobs !== undefined && isInside(blobs, file));
}

/**
 * Path of a model's file with links resolved. Links may lead to files of the model's folder only, see
 * {@link belongsToFolder}: a downloaded folder must not read or copy other files of the user.
 * @param folder the model's folder
 * @throws UserError naming the file if it is missing or a link out of the folder.
 */
export async function resolveModelFile(path: string, folder = dirname(path)): Promise<string> {
  const file = await realpath(path).catch(() => {
    throw fileMissing(path);
  });
  if (!belongsToFolder(await realpath(folder), file)) {
    throw new UserError(
      'link-outside-folder',
      say`The file is a link to ${file}, outside of the model's folder.`,
      {
        file: path,
        remedy: say`Replace the link with the file that it points to, if you trust the folder.`,
      },
    );
  }
  return file;
}

/**
 * Opens a file of a model and closes it after `read`.
 * @param folder the model's folder
 * @throws UserError naming the file if it cannot be opened or is a link out of the folder.
 */
export async function withModelFile<T>(
  path: string,
  read: (opened: RegularFile) => Promise<T>,
  folder = dirname(path),
): Promise<T> {
  await resolveModelFile(path, folder);
  return withRegularFile(path, read);
}

/**
 * Reads a small text file of a model, such as config.json.
 * @param folder the model's folder
 * @throws UserError naming the file if it is missing, too large, not UTF-8, or a link out of the folder.
 */
export async function readModelText(path: string, folder = dirname(path)): Promise<string> {
  await resolveModelFile(path, folder);
  return readSmallText(path);
}

function isInside(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
