import { l10n, ThemeIcon, TreeItem, window, workspace } from 'vscode';
import type { Disposable, TreeDataProvider, Uri } from 'vscode';
import { commandIds } from '../services/command-ids';
import { formatCount } from '../core/format';
import type { ModelFolders } from '../services/model-folders';
import type { OpenModels } from '../services/open-models';

/** The models of the workspace, in the explorer. Elements are the model folders. */
export class ModelsView implements TreeDataProvider<Uri>, Disposable {
  public static readonly viewId = 'espalier.models';

  readonly #folders: ModelFolders;
  readonly #models: OpenModels;
  readonly #view: Disposable;

  public readonly onDidChangeTreeData;

  public constructor(folders: ModelFolders, models: OpenModels) {
    this.#folders = folders;
    this.#models = models;
    this.onDidChangeTreeData = folders.onDidChange;
    this.#view = window.createTreeView(ModelsView.viewId, { treeDataProvider: this });
  }

  public async getChildren(parent?: Uri): Promise<Uri[]> {
    return parent === undefined ? [...(await this.#folders.known())] : [];
  }

  public async getTreeItem(folder: Uri): Promise<TreeItem> {
    const item = new TreeItem(folder.path.split('/').at(-1) ?? folder.path);
    item.resourceUri = folder;
    item.iconPath = new ThemeIcon('layers');
    item.contextValue = 'model';
    item.command = {
      command: commandIds.openHeatmap,
      title: l10n.t('Open Layer Heatmap'),
      arguments: [folder],
    };
    try {
      const model = await this.#models.summary(folder.fsPath);
      item.description = `${model.architecture} · ${formatCount(model.parameters)}`;
      item.tooltip = l10n.t(
        '{0}: {1} blocks, {2} sublayers',
        workspace.asRelativePath(folder),
        model.blocks,
        model.sublayers.length,
      );
    } catch (error) {
      item.description = l10n.t('cannot be opened');
      item.tooltip = error instanceof Error ? error.message : String(error);
      item.iconPath = new ThemeIcon('warning');
    }
    return item;
  }

  public dispose(): void {
    this.#view.dispose();
  }
}
