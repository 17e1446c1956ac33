import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isOnnx } from '../../checkpoints/model-folder';
import { say } from '../../message';
import { UserError, checkAccess } from '../../user-error';
import { fingerprintFiles } from '../fingerprint-files';
import { isDatasetFile } from './open-dataset';

/** How deep data sets lie in a folder of them. */
const mostDepth = 2;

/**
 * Paths of what a training may read in some folders, by fingerprint: the folders themselves and those in them, tables,
 * arrays and ONNX files.
 * @throws UserError for a folder that cannot be read.
 */
export async function findData(folders: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    for await (const path of placesIn(folder, mostDepth)) {
      // What is gone by now, or may not be read, is no data set of this machine.
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
    throw new UserError(say`The folder cannot be read: ${(error as Error).message}.`, {
      file: folder,
      remedy: checkAccess,
    });
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
