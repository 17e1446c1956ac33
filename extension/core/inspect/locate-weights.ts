import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { modelFolderName } from '../checkpoints/model-file';
import { isGguf, locateModel, locateOnnx, requireModelFile } from '../checkpoints/model-folder';
import { openSafetensors } from '../checkpoints/safetensors';
import { UserError, pathMissing } from '../user-error';
import type { ModelFormat } from '../models/model-headers';
import type { ConfigFields } from '../models/transformer/model-config';
import type { SublayerSummary } from '../models/model-summary';
import type {
  GraphFacts,
  ModelFacts,
  PartKind,
  StoredTensor,
  Understanding,
  WeightFile,
} from './model-description';
import type { Message } from '../message';

/** Files to describe a model from. */
export interface WeightsLocation {
  readonly format: ModelFormat;
  /** Absolute path of the model: its folder, or a file that is described alone. */
  readonly path: string;
  readonly name: string;
  readonly weights: string;
  /** Folder of the side files. */
  readonly folder: string;
  /** True if the config.json next to `weights` describes them. */
  readonly whole: boolean;
}

const index = '.safetensors.index.json';

/**
 * Locates the model for a path: a folder, or one of its files. A shard stands for its model; any other weight file next
 * to a model, such as an adapter, is described alone.
 * @throws UserError if there is nothing to describe
 */
export async function locateWeights(path: string): Promise<WeightsLocation> {
  const onnx = await locateOnnx(path);
  if (onnx !== undefined) {
    return alone(onnx, 'onnx');
  }
  const absolute = resolve(path);
  const found = await stat(absolute).catch(() => {
    throw pathMissing(path);
  });
  if (isGguf(absolute) && !found.isDirectory()) {
    return { ...alone(absolute, 'gguf'), whole: true };
  }
  if (absolute.endsWith('.safetensors') && !found.isDirectory()) {
    return locateSafetensors(absolute);
  }
  if (absolute.endsWith(index)) {
    return { ...folderPlace(dirname(absolute), absolute), whole: true };
  }
  if (!found.isDirectory()) {
    requireModelFile(absolute);
  }
  return locateInFolder(found.isDirectory() ? absolute : dirname(absolute));
}

async function locateInFolder(folder: string): Promise<WeightsLocation> {
  try {
    const { path, name, weights } = await locateModel(folder);
    const format = isGguf(weights) ? 'gguf' : 'safetensors';
    return { format, path, name, weights, folder, whole: true };
  } catch (error) {
    const names = await readdir(folder).catch((): string[] => []);
    const [only, ...others] = [
      names.filter((name) => name.endsWith(index)),
      names.filter((name) => name.endsWith('.safetensors')),
    ].find(({ length }) => length > 0) ?? [undefined];
    if (only === undefined || others.length > 0) {
      throw error;
    }
    return { ...folderPlace(folder, join(folder, only)), whole: false };
  }
}

async function locateSafetensors(file: string): Promise<WeightsLocation> {
  const model = await locateModel(dirname(file)).catch((error: unknown) => {
    if (error instanceof UserError) {
      return undefined;
    }
    throw error;
  });
  if (model === undefined) {
    return alone(file, 'safetensors');
  }
  const isWhole = model.weights === file || (await isShard(file, model.weights));
  const { path, name, weights } = model;
  return isWhole
    ? { format: 'safetensors', path, name, weights, folder: path, whole: true }
    : alone(file, 'safetensors');
}

/** A shard whose siblings are missing is still a file that can be described. */
async function isShard(file: string, weights: string): Promise<boolean> {
  if (!weights.endsWith(index)) {
    return false;
  }
  try {
    const { files } = await openSafetensors(weights);
    return files.includes(await realpath(file));
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}

function folderPlace(folder: string, weights: string): Omit<WeightsLocation, 'whole'> {
  return { format: 'safetensors', path: folder, name: modelFolderName(folder), weights, folder };
}

function alone(path: string, format: ModelFormat): WeightsLocation {
  const name = basename(path, extname(path));
  return { format, path, name, weights: path, folder: dirname(path), whole: false };
}

/** A sublayer that the architecture table or the graph tells of. */
export interface KnownSublayer {
  readonly summary: SublayerSummary;
  readonly tensors: readonly StoredTensor[];
  /**
   * Cache elements per token of context, if a graph states them; otherwise they follow from the
   * shapes of the tensors.
   */
  readonly cacheElements?: number;
}

/** A model's files as read, before its tensors are put into blocks. */
export interface ModelSource {
  readonly name?: string;
  readonly family: string | undefined;
  readonly understood: Understanding;
  readonly tensors: readonly StoredTensor[];
  /** In model order; empty if only tensor names are known. */
  readonly sublayers: readonly KnownSublayer[];
  /**
   * Parts of tensors outside of the blocks, if a graph determines them; others are assigned by
   * name.
   */
  readonly parts: ReadonlyMap<StoredTensor, PartKind>;
  readonly config: ConfigFields;
  readonly tiedHead?: boolean;
  /** Facts from the files. The configuration takes precedence. */
  readonly facts?: ModelFacts;
  readonly graph?: GraphFacts;
  readonly metadata: Readonly<Record<string, string>>;
  readonly files: readonly Omit<WeightFile, 'tensors'>[];
  readonly warnings: readonly Message[];
}
