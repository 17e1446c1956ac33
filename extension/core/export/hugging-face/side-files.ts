import { constants, copyFile, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { familyFileName } from '../../checkpoints/model-folder';
import { belongsToFolder, resolveModelFile } from '../../checkpoints/model-file';
import { configurationModule } from './deci-config';
import { modelingModule } from './modeling-classes';
import { manifestName } from '../../document-names';
import { onPath } from '../../jobs/write-document';
import { furtherModules } from '../../models/folder-pooling';

/** File that is copied unchanged. */
export interface SideFile {
  /** Relative to the model folder, with the separators of the platform. */
  readonly name: string;
  readonly bytes: number;
  /** Folder that `name` is relative to, if not the model folder. */
  readonly folder?: string;
}

/** Files stored next to the weights of a model. */
export interface SideFiles {
  readonly files: readonly SideFile[];
  /** Folders and files that aren't copied because of their size, with the reason. */
  readonly leftBehind: readonly string[];
  /** Links to files outside of the model's folder, which are not copied. */
  readonly foreign: readonly string[];
}

/** Side files of a model without any. */
export const noSideFiles: SideFiles = { files: [], leftBehind: [], foreign: [] };

/** Weights in any format, which still contain removed parts and therefore aren't copied. */
const weightFiles =
  /\.(?:safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|onnx_data|onnx\.data|ot|npz)$|\.index\.json$|^(?:pytorch_model|tf_model|flax_model)/i;
/** Files that are written again or that describe only the source. */
const ownFiles = new Set([
  ...['config.json', familyFileName, manifestName],
  // ModelOpt's copy of quantization_config, which names modules by block number.
  'hf_quant_config.json',
  ...[modelingModule, configurationModule].map((name) => `${name}.py`),
]);
const ownDocuments = /\.(?:layerprofile|plan)\.json(?:\.|$)/;
/** Larger folders contain something else than chat templates and similar files. */
const maxFolderBytes = 16 << 20;

/** Finds the tokenizer, generation settings, chat templates, licence and so on of a model folder. */
export async function findSideFiles(folder: string): Promise<SideFiles> {
  const files: SideFile[] = [];
  const leftBehind: string[] = [];
  const foreign: string[] = [];
  const modules = await furtherModules(folder);
  for (const { name, isFolder } of await visibleEntries(folder)) {
    if (!isFolder) {
      append(isSideFile(name) ? await sideFile(folder, name) : {}, { files, foreign });
      continue;
    }
    const inner = await listFolder(folder, name);
    const size = inner.files.reduce((sum, file) => sum + file.bytes, 0);
    const holdsWeights = inner.files.some((file) => weightFiles.test(file.name));
    if (!modules.includes(name) && (size > maxFolderBytes || holdsWeights)) {
      leftBehind.push(`${name} (${Math.ceil(size / 1e6)} MB)`);
    } else {
      files.push(...inner.files);
      foreign.push(...inner.foreign);
    }
  }
  return { files, leftBehind, foreign };
}

/** Files that go with a model that is one file, which may lie among other things. */
const named =
  /^(?:(?:added_tokens|chat_template|config|configuration|generation_config|genai_config|id2label|labels|merges|ort_config|preprocessor_config|processor_config|quantize_config|special_tokens_map|tokenizer|tokenizer_config|vocab)\.(?:json|txt|jinja)|.*\.(?:model|tiktoken)|(?:README|LICENSE|NOTICE|USE_POLICY).*)$/i;

/** Like {@link findSideFiles}, but next to a single-file model, and above a folder named `onnx`. */
export async function findNamedSideFiles(folder: string): Promise<SideFiles> {
  const beside = await namedFiles(folder);
  const above = basename(folder) === 'onnx' ? await namedFiles(dirname(folder)) : undefined;
  const others = (above?.files ?? [])
    .filter(({ name }) => beside.files.every((file) => file.name !== name))
    .map((file) => ({ ...file, folder: dirname(folder) }));
  return {
    files: [...beside.files, ...others],
    leftBehind: [],
    foreign: [...beside.foreign, ...(above?.foreign ?? [])],
  };
}

async function namedFiles(folder: string): Promise<FoundFiles> {
  const found: FoundFiles = { files: [], foreign: [] };
  for (const { name, isFolder } of await visibleEntries(folder)) {
    if (!isFolder && named.test(name)) {
      append(await sideFile(folder, name), found);
    }
  }
  return found;
}

/**
 * Copies a side file. Links are followed: the folders of the Hugging Face cache consist of links.
 * @param folder the model's folder
 * @throws UserError if the file is a link out of the folder.
 */
export async function copySideFile(from: string, to: string, folder: string): Promise<void> {
  const file = await resolveModelFile(from, folder);
  await onPath(to, async () => copyFile(file, to, constants.COPYFILE_FICLONE));
}

function isSideFile(name: string): boolean {
  return !weightFiles.test(name) && !ownFiles.has(name) && !ownDocuments.test(name);
}

/** Side files, and names of links out of the model's folder. */
interface FoundFiles {
  readonly files: SideFile[];
  readonly foreign: string[];
}

async function listFolder(root: string, folder: string): Promise<FoundFiles> {
  const found: FoundFiles = { files: [], foreign: [] };
  for (const { name, isFolder } of await visibleEntries(join(root, folder))) {
    const path = join(folder, name);
    if (isFolder) {
      const inner = await listFolder(root, path);
      found.files.push(...inner.files);
      found.foreign.push(...inner.foreign);
    } else if (!ownDocuments.test(name)) {
      append(await sideFile(root, path), found);
    }
  }
  return found;
}

/** Folders that are links are not entered: they may lead back up. */
async function visibleEntries(folder: string): Promise<{ name: string; isFolder: boolean }[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter(({ name }) => !name.startsWith('.'))
    .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The file, or the name of a link that leaves the folder; neither for broken links, folders, sockets and other special
 * files.
 */
async function sideFile(
  root: string,
  name: string,
): Promise<{ readonly file?: SideFile; readonly foreign?: string }> {
  const target = await realpath(join(root, name)).catch(() => undefined);
  if (target === undefined) {
    return {};
  }
  if (!belongsToFolder(await realpath(root), target)) {
    return { foreign: name };
  }
  const found = await stat(target).catch(() => undefined);
  return found?.isFile() === true ? { file: { name, bytes: found.size } } : {};
}

function append({ file, foreign }: Awaited<ReturnType<typeof sideFile>>, to: FoundFiles): void {
  to.files.push(...(file === undefined ? [] : [file]));
  to.foreign.push(...(foreign === undefined ? [] : [foreign]));
}
