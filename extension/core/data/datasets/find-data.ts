import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isOnnx } from '../../checkpoints/model-folder';
import { folderUnreadable } from '../../user-error';
import { fingerprintFiles } from '../fingerprint-files';
import { isDatasetFile } from './open-dataset';

/** Maximum depth of datasets below a folder. */
const maxDepth = 2;

/**
 * Finds training data in folders: the folders themselves, their subfolders, tables, arrays and ONNX files. Returns
 * paths by fingerprint.
 * @throws UserError if a folder can't be read.
 */
export async function findData(folders: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    for await (const path of placesIn(folder, maxDepth)) {
      // Skips files that were deleted meanwhile or are not readable.
      const fingerprint = await fingerprintFiles(path).catch(() => undefined);
      if (fingerprint !== undefined) {
        found.set(fingerprint, found.get(fingerprint) ?? path);
      }
    }
  }
  return found;
}

async function* placesIn(folder: string, depth: number): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw folderUnreadable(folder, error);
  });
  yield folder;
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) {
      yield* placesIn(path, depth - 1);
    } else if (entry.isFile() && (isDatasetFile(path) || isOnnx(path))) {
      yield path;
    }
  }
}
