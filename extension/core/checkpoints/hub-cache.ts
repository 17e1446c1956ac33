import { basename, join, sep } from 'node:path';

/**
 * `models--OWNER--NAME/snapshots/REVISION`, whose files are links into `models--OWNER--NAME/blobs`.
 */
const snapshot = /^(.*[/\\]models--(?:[^/\\]+--)?([^/\\]+))[/\\]snapshots[/\\][^/\\]+/;

/** Folder of the files of a snapshot in a Hugging Face cache; undefined for other folders. */
export function blobsFolder(folder: string): string | undefined {
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
