import {
  Disposable,
  EventEmitter,
  l10n,
  ThemeIcon,
  TreeItem,
  TreeItemCollapsibleState,
  Uri,
  workspace,
} from 'vscode';
import type { TreeDataProvider } from 'vscode';
import { commandIds } from '../services/command-ids';
import { documentGlob } from '../core/document-names';
import { distinctNames } from '../services/documents/distinct-names';
import { Descriptions } from '../services/documents/descriptions';
import type { Inspector } from '../services/sessions/explorer-session';
import { fileExists, defaultSensitivityPath } from '../services/documents/documents';
import { describeError } from '../services/report-error';
import type { ModelFolders } from '../services/documents/model-folders';
import type { OpenModels } from '../services/documents/open-models';
import { Throttle } from '../services/throttle';
import { describeModelItem } from './model-item';
import {
  createModelEntries,
  failureEntry,
  sensitivityEntry,
  createTreeItem,
} from './model-entries';
import type { ModelEntry } from './model-entries';

/** Files that a model's description is read from. */
const modelFiles = '**/{config.json,*.safetensors,*.gguf,*.onnx}';

/** The models of the workspace, in the explorer: blocks, sublayers and tensors of each. */
export class ModelsView implements TreeDataProvider<Uri | ModelEntry>, Disposable {
  readonly #folders: ModelFolders;
  readonly #models: OpenModels;
  readonly #descriptions: Descriptions;
  readonly #changed = new EventEmitter<Uri | undefined>();
  readonly #stale = new Set<Uri>();
  readonly #disposable: Disposable;

  public readonly onDidChangeTreeData = this.#changed.event;

  public constructor(folders: ModelFolders, models: OpenModels, inspector: Inspector) {
    this.#folders = folders;
    this.#models = models;
    this.#descriptions = new Descriptions(inspector);
    const refresh = new Throttle(() => {
      for (const model of this.#stale) {
        this.#changed.fire(model);
      }
      this.#stale.clear();
    }, 1000);
    const watcher = workspace.createFileSystemWatcher(modelFiles, true, false, true);
    const tables = workspace.createFileSystemWatcher(
      documentGlob('sensitivity'),
      false,
      true,
      false,
    );
    const tableChanged = ({ fsPath }: Uri): void => {
      for (const model of folders.folders) {
        if (defaultSensitivityPath(model.fsPath) === fsPath) {
          this.#stale.add(model);
          refresh.trigger();
        }
      }
    };
    this.#disposable = Disposable.from(
      this.#changed,
      refresh,
      watcher,
      tables,
      tables.onDidCreate(tableChanged),
      tables.onDidDelete(tableChanged),
      watcher.onDidChange(({ path }) => {
        for (const model of folders.folders) {
          if (`${path}/`.startsWith(`${model.path}/`)) {
            this.#descriptions.forget(model.fsPath);
            this.#stale.add(model);
            refresh.trigger();
          }
        }
      }),
      folders.onDidChange(() => {
        this.#descriptions.clear();
        this.#changed.fire(undefined);
      }),
    );
  }

  public async getChildren(parent?: Uri | ModelEntry): Promise<(Uri | ModelEntry)[]> {
    if (parent === undefined) {
      return [...(await this.#folders.known())];
    }
    if (!(parent instanceof Uri)) {
      return [...parent.children()];
    }
    try {
      const table = defaultSensitivityPath(parent.fsPath);
      return [
        ...((await fileExists(table)) ? [sensitivityEntry(Uri.file(table))] : []),
        ...createModelEntries(await this.#descriptions.of(parent.fsPath), parent),
      ];
    } catch (error) {
      return [failureEntry(describeError(error), parent)];
    }
  }

  public async getTreeItem(element: Uri | ModelEntry): Promise<TreeItem> {
    return element instanceof Uri ? this.#modelItem(element) : createTreeItem(element);
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  async #modelItem(model: Uri): Promise<TreeItem> {
    const names = distinctNames(this.#folders.folders.map(({ path }) => path));
    const name = names.get(model.path) ?? model.path.split('/').at(-1) ?? model.path;
    const item = new TreeItem(name, TreeItemCollapsibleState.Collapsed);
    item.resourceUri = model;
    item.iconPath = new ThemeIcon('layers');
    item.command = {
      command: commandIds.inspectModel,
      title: l10n.t('Show Overview'),
      arguments: [model],
    };
    await describeModelItem(item, model, this.#models);
    return item;
  }
}
