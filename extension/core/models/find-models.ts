import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isGguf, isOnnx } from '../checkpoints/model-folder';
import { openModelFiles } from './open-model';
import { folderUnreadable } from '../user-error';

/** Maximum depth of models below the folder. Covers the cache of the Hugging Face Hub. */
const mostDepth = 4;

/** Models of some folders. */
interface FoundModels {
  /** Paths by fingerprint. */
  readonly paths: ReadonlyMap<string, string>;
  /** For each path that looks like a model but can't be opened, the reason. */
  readonly unread: readonly string[];
}

/**
 * Finds the models in some folders.
 * @throws UserError for a folder that cannot be read.
 */
export async function findModels(folders: readonly string[]): Promise<FoundModels> {
  const found = new Map<string, string>();
  const unread: string[] = [];
  for (const folder of folders) {
    await readdir(folder).catch((error: unknown) => {
      throw folderUnreadable(folder, error);
    });
    for await (const path of placesIn(folder, mostDepth)) {
      try {
        const { fingerprint } = (await openModelFiles(path)).summary;
        found.set(fingerprint, found.get(fingerprint) ?? path);
      } catch (error) {
        unread.push((error as Error).message);
      }
    }
  }
  return { paths: found, unread };
}

/** Candidate models: folders with a config.json, .gguf files and .onnx files. */
async function* placesIn(folder: string, depth: number): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  if (entries.some(({ name }) => name === 'config.json')) {
    yield folder;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) {
      yield* placesIn(path, depth - 1);
    } else if (isGguf(entry.name) || isOnnx(entry.name)) {
      yield path;
    }
  }
}
