import { posix } from 'node:path';
import { commands, Disposable, EventEmitter, FileType, workspace } from 'vscode';
import type { Event, Uri } from 'vscode';
import { modelPlaces, soleFolders } from './model-file';
import { Throttle } from '../throttle';

/** Context key that the menus test: paths of the models. */
const contextKey = 'espalier.modelFolders';
/** Context key that the menus test: paths of folders that open as the model file in them. */
const fileFoldersKey = 'espalier.modelFileFolders';
const mostFiles = 5000;
const weightFiles = '**/*.{safetensors,gguf,onnx}';
/** Weight files, and logs that mark adjacent weight files as results. */
const scannedFiles = '**/*.{safetensors,gguf,onnx,gssnn.json}';

/**
 * The models of the workspace: folders with config.json next to .safetensors files, and .gguf and
 * .onnx files. Kept up to date.
 */
export class ModelFolders implements Disposable {
  readonly #changed = new EventEmitter<void>();
  readonly #refresh = new Throttle(() => void this.refresh(), 1000);
  readonly #disposable: Disposable;
  #folders: readonly Uri[] = [];
  /** By path of the model. */
  #fileFolders: ReadonlyMap<string, Uri> = new Map();
  #scan: Promise<void> | undefined;

  public readonly onDidChange: Event<void> = this.#changed.event;

  public constructor() {
    const watchers = ['**/config.json', weightFiles].map((pattern) =>
      workspace.createFileSystemWatcher(pattern, false, true, false),
    );
    // Moving or copying a folder triggers an event for the folder but not for its files.
    const anything = workspace.createFileSystemWatcher('**/*', false, true, false);
    this.#disposable = Disposable.from(
      this.#changed,
      this.#refresh,
      ...watchers,
      ...watchers.flatMap((watcher) => [
        watcher.onDidCreate(() => {
          this.#refresh.trigger();
        }),
        watcher.onDidDelete(() => {
          this.#refresh.trigger();
        }),
      ]),
      anything,
      anything.onDidCreate(async (created) => {
        if (await isFolder(created)) {
          this.#refresh.trigger();
        }
      }),
      anything.onDidDelete(({ path }) => {
        if (this.#folders.some((folder) => `${folder.path}/`.startsWith(`${path}/`))) {
          this.#refresh.trigger();
        }
      }),
      workspace.onDidChangeWorkspaceFolders(() => {
        this.#refresh.trigger();
      }),
    );
    this.#refresh.trigger();
  }

  public get folders(): readonly Uri[] {
    return this.#folders;
  }

  /** The folder that opens as a model file, if there is no other model in it. */
  public fileFolder(model: Uri): Uri | undefined {
    return this.#fileFolders.get(model.path);
  }

  /** The model file that a folder opens as. */
  public modelIn(folder: Uri): Uri | undefined {
    return this.#folders.find((model) => this.fileFolder(model)?.path === folder.path);
  }

  /** The models, once the first scan is done. */
  public async known(): Promise<readonly Uri[]> {
    await (this.#scan ?? this.refresh());
    return this.#folders;
  }

  public async refresh(): Promise<void> {
    this.#scan = this.#find();
    await this.#scan;
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  async #find(): Promise<void> {
    const files = await workspace.findFiles(scannedFiles, '**/node_modules/**', mostFiles);
    const byRoot = new Map<string, Uri[]>();
    for (const file of files) {
      const root = file.with({ path: '' }).toString();
      byRoot.set(root, [...(byRoot.get(root) ?? []), file]);
    }
    const found = await Promise.all([...byRoot.values()].map(modelsAmong));
    this.#folders = found.flat().sort((a, b) => a.path.localeCompare(b.path));
    const folders = soleFolders(this.#folders.map(({ path }) => path));
    this.#fileFolders = new Map(
      this.#folders.flatMap((model) => {
        const path = folders.get(model.path);
        return path === undefined ? [] : [[model.path, model.with({ path })] as const];
      }),
    );
    await commands.executeCommand('setContext', contextKey, menuPaths(this.#folders));
    await commands.executeCommand(
      'setContext',
      fileFoldersKey,
      menuPaths([...this.#fileFolders.values()]),
    );
    this.#changed.fire();
  }
}

/** Paths that menus compare with `resourcePath`: a file-system path, or a URI path if the host is remote. */
export const menuPaths = (uris: readonly Uri[]): string[] => [
  ...new Set(uris.flatMap(({ fsPath, path }) => [fsPath, path])),
];

/** Models among files of one file system. */
async function modelsAmong(weights: readonly Uri[]): Promise<Uri[]> {
  const [any] = weights;
  if (any === undefined) {
    return [];
  }
  const { folders, files } = modelPlaces(weights.map((file) => file.path));
  const found = await Promise.all(
    folders.map(async (folder) =>
      (await exists(any.with({ path: posix.join(folder, 'config.json') })))
        ? [any.with({ path: folder })]
        : [],
    ),
  );
  return [...found.flat(), ...files.map((path) => any.with({ path }))];
}

async function exists(file: Uri): Promise<boolean> {
  try {
    await workspace.fs.stat(file);
    return true;
  } catch {
    return false;
  }
}

async function isFolder(file: Uri): Promise<boolean> {
  try {
    return ((await workspace.fs.stat(file)).type & FileType.Directory) !== 0;
  } catch {
    return false;
  }
}
