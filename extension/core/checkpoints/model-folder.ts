import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { modelFolderName, readModelText } from './model-file';
import { listParts, withoutPart } from './gguf-parts';
import { UserError, pathMissing, folderUnreadable } from '../user-error';
import { say } from '../message';
import { readGgufHeader } from './gguf';
import { existsSync } from 'node:fs';
import { setField, parseJson, parseJsonText } from '../parse-json';

/** Locations of a model's parts: a Hugging Face folder, or a GGUF file, which contains them all. */
export interface ModelFolder {
  /** Absolute path of the folder, or of the .gguf file. */
  readonly path: string;
  /** Name shown to people. */
  readonly name: string;
  readonly config: string;
  /** The single .safetensors file, the index of the shards, or the .gguf file. */
  readonly weights: string;
}

/** Files that a model can be opened by. */
const modelFileTypes = 'config.json, .safetensors, .safetensors.index.json, .gguf or .onnx';

export function isGguf(path: string): boolean {
  return path.toLowerCase().endsWith('.gguf');
}

export function isOnnx(path: string): boolean {
  return path.toLowerCase().endsWith('.onnx');
}

/**
 * Finds the model a user pointed at: its folder, or its config.json, .safetensors file or index; or
 * a .gguf file, or a folder whose only weights it is.
 * @throws UserError when something is missing, naming what and the remedy.
 */
export async function locateModel(path: string): Promise<ModelFolder> {
  const absolute = resolve(path);
  const found = await stat(absolute).catch(() => {
    throw pathMissing(path);
  });
  if (isGguf(absolute) && !found.isDirectory()) {
    return ggufFile(absolute);
  }
  if (!found.isDirectory()) {
    requireModelFile(absolute);
  }
  const folder = found.isDirectory() ? absolute : dirname(absolute);
  const names = await readdir(folder).catch((error: unknown) => {
    throw folderUnreadable(folder, error);
  });
  const ggufNames = names.filter(isGguf).filter(beginsModel);
  if (ggufNames.length > 0 && !names.some((name) => /\.(safetensors|bin|pt|pth)$/.test(name))) {
    const [only = ''] = ggufNames;
    if (ggufNames.length > 1) {
      throw new UserError(
        'gguf-file-ambiguous',
        say`The folder has ${ggufNames.length} .gguf files.`,
        { file: folder, remedy: say`Choose one of them, such as ${only}.` },
      );
    }
    return ggufFile(join(folder, only));
  }
  if (!names.includes('config.json')) {
    const problem = found.isDirectory()
      ? say`The folder has no config.json.`
      : say`This file isn't part of a model: there is no config.json next to it.`;
    throw new UserError('config-missing', problem, {
      file: absolute,
      remedy: say`Choose a Hugging Face model folder: config.json next to .safetensors files.`,
    });
  }
  return {
    path: folder,
    name: modelFolderName(folder),
    config: join(folder, 'config.json'),
    weights: join(folder, chooseWeights(names, folder)),
  };
}

/** @throws UserError for a file that no model consists of. */
export function requireModelFile(file: string): void {
  if (!/\.(safetensors|gguf|onnx|json|bin|pt|pth)$/i.test(file)) {
    throw new UserError('file-type-unsupported', say`Unsupported file type.`, {
      file,
      remedy: say`Choose a model folder, or a ${modelFileTypes} file.`,
    });
  }
}

/**
 * True if a .gguf file is a model of its own, not a further part of one or a projector of a vision
 * model.
 */
function beginsModel(name: string): boolean {
  return !isProjector(name) && (listParts(name)?.[0] ?? name) === name;
}

/** True if the file name is that of a projector: `mmproj-F16.gguf`, `Model.mmproj-Q8_0.gguf`. */
function isProjector(name: string): boolean {
  return isGguf(name) && /(?:^|[-_.])mmproj/i.test(name);
}

/** A model in one or more GGUF files, represented by the first. */
function ggufFile(given: string): ModelFolder {
  const [first = ''] = listParts(basename(given)) ?? [];
  const path = join(dirname(given), first === '' ? basename(given) : first);
  const name = basename(withoutPart(path), extname(path));
  return { path, name, config: path, weights: path };
}

/**
 * The .onnx file that a user pointed at: itself, or the only one of a folder without safetensors.
 * Undefined where the path is no ONNX model.
 */
export async function locateOnnx(path: string): Promise<string | undefined> {
  const absolute = resolve(path);
  if (isOnnx(absolute)) {
    return absolute;
  }
  const names = await readdir(absolute).catch((): string[] => []);
  const [only, ...others] = names.filter((name) => name.endsWith('.onnx'));
  const hasWeights = names.some((name) => name.includes('.safetensors'));
  return only === undefined || others.length > 0 || hasWeights ? undefined : join(absolute, only);
}

/** Same precedence as transformers: the single file first, then the index. */
function chooseWeights(names: readonly string[], folder: string): string {
  for (const fileName of ['model.safetensors', 'model.safetensors.index.json']) {
    if (names.includes(fileName)) {
      return fileName;
    }
  }
  const indexes = names.filter((name) => name.endsWith('.safetensors.index.json'));
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  const [only] = indexes.length > 0 ? indexes : weights;
  if (only !== undefined && (indexes.length === 1 || weights.length === 1)) {
    return only;
  }
  if (weights.length > 1) {
    throw new UserError(
      'safetensors-index-missing',
      say`The folder has ${weights.length} .safetensors files, but no index.`,
      {
        file: folder,
        remedy: say`Download model.safetensors.index.json into the folder.`,
      },
    );
  }
  const isPickled = names.some((name) => /\.(bin|pt|pth)$/.test(name));
  throw new UserError(
    isPickled ? 'weights-pickled' : 'weights-missing',
    isPickled
      ? say`The weights are PyTorch pickles, which can run code when opened.`
      : say`The folder has no .safetensors weights.`,
    { file: folder, remedy: say`Save the model as safetensors and try again.` },
  );
}

/** Files that tell what a model is, in its folder. */
const modelFile = /\.(?:json|model|safetensors|gguf|onnx|onnx[._]data)$/i;

/**
 * Names, sizes and modification times of a model's files. If the stamp changes, the model must be read again.
 * @param place the model's folder, or one of its files
 * @param others files with other names or in other folders
 */
export async function modelStamp(place: string, others: readonly string[] = []): Promise<string> {
  const isFile = isGguf(place) || isOnnx(place);
  const isFolder = !isFile && (await stat(place).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? place : dirname(place);
  const stem = basename(place, extname(place));
  const names = await readdir(folder).catch((): string[] => []);
  const own = names.filter((name) =>
    isFile
      ? name === basename(place) || name.endsWith('.json') || name.startsWith(`${stem}.onnx`)
      : modelFile.test(name),
  );
  const files = new Set([...own.map((name) => join(folder, name)), ...others]);
  const stamps = await Promise.all([...files].sort().map(fileStamp));
  return stamps.join('\n');
}

/** Size and time of a file. */
export async function fileStamp(file: string): Promise<string> {
  return stat(file).then(
    ({ size, mtimeMs }) => `${file} ${size} ${mtimeMs}`,
    () => `${file} missing`,
  );
}

/** A projector for images or audio next to a GGUF model, which llama.cpp loads with `--mmproj`. */
export interface Projector {
  readonly name: string;
  readonly bytes: number;
  /** As its header names them: `clip.projector_type`, or one for images and one for audio. */
  readonly types: readonly string[];
}

const typeKeys = ['clip', 'clip.vision', 'clip.audio'].map((part) => `${part}.projector_type`);

/** The projectors in a folder. A damaged one has no types: nothing is run with it. */
export async function findProjectors(folder: string): Promise<Projector[]> {
  const names = (await readdir(folder).catch((): string[] => [])).filter(isProjector).sort();
  const found = await Promise.all(
    names.map(async (name): Promise<Projector[]> => {
      const path = join(folder, name);
      const file = await stat(path).catch(() => undefined);
      const metadata = await readGgufHeader(path).then(
        (header) => header.metadata,
        () => undefined,
      );
      const types = typeKeys.flatMap((key) => {
        const type = metadata?.get(key);
        return typeof type === 'string' ? [type] : [];
      });
      return file?.isFile() === true ? [{ name, bytes: file.size, types }] : [];
    }),
  );
  return found.flat();
}

/** File next to a config.json with fields that it lacks, which are read as part of it. */
export const familyFileName = 'espalier-family.json';

/**
 * The text of a config.json as JSON, including the fields of {@link familyFileName}. Infinities,
 * which Python writes as words, are replaced with a number that overflows to infinity.
 * @throws UserError naming the file if it is missing or too large.
 */
export async function readConfigText(file: string): Promise<string> {
  const text = await readModelText(file);
  const more = join(dirname(file), familyFileName);
  try {
    parseJsonText(text);
    return existsSync(more) ? withFields(text, await readFields(more)) : text;
  } catch (error) {
    if (error instanceof UserError) {
      throw error;
    }
    return text.replaceAll(/([:[,]\s*-?)Infinity\b/g, '$11e999');
  }
}

/** The text of a config.json with fields that it lacks. */
export function withFields(text: string, fields: object): string {
  const known = parseJsonText(text) as object;
  const lacking = Object.entries(fields).filter(([field]) => !Object.hasOwn(known, field));
  return lacking.reduce((edited, [field, value]) => setField(edited, [field], value), text);
}

async function readFields(file: string): Promise<object> {
  const remedy = say`Delete it, and try the model again (espalier try-family).`;
  return { ...(parseJson(await readModelText(file), file, remedy) as object) };
}
