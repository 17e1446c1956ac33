import { basename, dirname, extname, join } from 'node:path';

/** How the name of an importance matrix ends, which is a GGUF file but no model. */
export const importanceEnding = '.imatrix.gguf';

/** Whether a path is that of a model in one file, which needs no folder of its own. */
export const isModelFile = (path: string): boolean =>
  /\.(?:gguf|onnx)$/i.test(path) && !path.toLowerCase().endsWith(importanceEnding);

/** Folder of a model: its own, or that of its file. */
export const modelFolder = (path: string): string => (isModelFile(path) ? dirname(path) : path);

/** Path that the names of what lies beside a model begin with. */
export const modelStem = (path: string): string =>
  isModelFile(path) ? join(dirname(path), basename(path, extname(path))) : path;

/** Where the models are among files with weights: their folders, and the files that are one each. */
export interface ModelPlaces {
  /** Folders with .safetensors files; those with a config.json are models. */
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/**
 * Sorts paths, with forward slashes, of .safetensors, .gguf and .onnx files. Left out are ONNX files
 * beside .safetensors, which are the same model once more, and those beside the log of an evolution of graph
 * modules (.gssnn.json), which are its results.
 */
export function modelPlaces(paths: readonly string[]): ModelPlaces {
  const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const folders = new Set(paths.filter((path) => /\.safetensors$/i.test(path)).map(folderOf));
  const evolutions = new Set(paths.filter((path) => path.endsWith('.gssnn.json')).map(folderOf));
  return {
    folders: [...folders].sort(),
    files: paths
      .filter((path) => isModelFile(path))
      .filter(
        (path) =>
          !/\.onnx$/i.test(path) ||
          !(folders.has(folderOf(path)) || evolutions.has(folderOf(path))),
      )
      .sort(),
  };
}
