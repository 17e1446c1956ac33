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
  const parentFolder = (path: string): string => path.slice(0, path.lastIndexOf('/'));
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
