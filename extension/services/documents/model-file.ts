import { basename, dirname, extname, join } from 'node:path';

/** Suffix of importance matrices, which are GGUF files but not models. */
export const importanceEnding = '.imatrix.gguf';

/** True for a path of a single-file model, which needs no folder. */
export const isModelFile = (path: string): boolean =>
  /\.(?:gguf|onnx)$/i.test(path) && !path.toLowerCase().endsWith(importanceEnding);

/** Folder of a model: the path itself, or the folder of its file. */
export const modelFolder = (path: string): string => (isModelFile(path) ? dirname(path) : path);

/** Prefix of the paths of files next to a model. */
export const modelStem = (path: string): string =>
  isModelFile(path) ? join(dirname(path), basename(path, extname(path))) : path;

/**
 * Folders of models that are a single file, if it is the only model of its folder: such a folder opens as that model.
 * @param models paths of all models, with forward slashes
 */
export function soleFolders(models: readonly string[]): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  for (const folder of models.map(parentOrSelf)) {
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return new Map(
    models.filter(isModelFile).flatMap((path) => {
      const folder = parentFolder(path);
      return counts.get(folder) === 1 ? [[path, folder] as const] : [];
    }),
  );
}

/** Folder of a path with forward slashes. */
const parentFolder = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** The model itself if it is a folder, otherwise the folder of its file. */
const parentOrSelf = (model: string): string => (isModelFile(model) ? parentFolder(model) : model);

/** Models found among weight files: folders, and single-file models. */
export interface ModelPlaces {
  /** Folders with .safetensors files; those with a config.json are models. */
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/**
 * Sorts paths, with forward slashes, of .safetensors, .gguf and .onnx files. Excludes ONNX files
 * next to .safetensors, which are the same model, and those next to the log of an evolution of
 * graph modules (.gssnn.json), which are its results.
 */
export function modelPlaces(paths: readonly string[]): ModelPlaces {
  const folders = new Set(paths.filter((path) => /\.safetensors$/i.test(path)).map(parentFolder));
  const evolutions = new Set(
    paths.filter((path) => path.endsWith('.gssnn.json')).map(parentFolder),
  );
  return {
    folders: [...folders].sort(),
    files: paths
      .filter((path) => isModelFile(path))
      .filter(
        (path) =>
          !/\.onnx$/i.test(path) ||
          !(folders.has(parentFolder(path)) || evolutions.has(parentFolder(path))),
      )
      .sort(),
  };
}
