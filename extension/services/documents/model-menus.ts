import { commands, Disposable, workspace } from 'vscode';
import type { Uri } from 'vscode';
import { Throttle } from '../throttle';
import { listMenuWords, pathsWithout } from './model-context';
import type { MenuWord } from './model-context';
import { menuPaths } from './model-folders';
import type { ModelFolders } from './model-folders';
import type { OpenModels } from './open-models';

/** Models that are looked at; menus offer everything for the others. */
const mostLookedAt = 200;

/**
 * Hides menu entries for models that they don't work for. Models are opened in the background, one after the other;
 * until a model is known, everything is offered for it.
 */
export class ModelMenus implements Disposable {
  readonly #folders: ModelFolders;
  readonly #models: Pick<OpenModels, 'inspect'>;
  /** Words by path, or undefined for a model that can't be opened. */
  readonly #known = new Map<string, readonly MenuWord[] | undefined>();
  readonly #disposable: Disposable;
  #looking: Promise<void> | undefined;
  #isStale = false;

  public constructor(folders: ModelFolders, models: Pick<OpenModels, 'inspect'>) {
    this.#folders = folders;
    this.#models = models;
    const refresh = new Throttle(() => void this.refresh(), 1000);
    const watcher = workspace.createFileSystemWatcher(
      '**/{config.json,tokenizer.json,*.safetensors,*.gguf,*.onnx}',
    );
    const changed = ({ path }: Uri): void => {
      for (const model of folders.folders) {
        if (`${path}/`.startsWith(`${model.path}/`) && this.#known.delete(model.fsPath)) {
          refresh.trigger();
        }
      }
    };
    this.#disposable = Disposable.from(
      refresh,
      watcher,
      watcher.onDidCreate(changed),
      watcher.onDidChange(changed),
      watcher.onDidDelete(changed),
      folders.onDidChange(() => {
        refresh.trigger();
      }),
    );
    refresh.trigger();
  }

  /** Looks at the models that are not known yet, and resolves when menus know them. */
  public async refresh(): Promise<void> {
    this.#isStale = true;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  async #look(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      const models = (await this.#folders.known()).slice(0, mostLookedAt);
      for (const { fsPath } of models) {
        if (!this.#known.has(fsPath)) {
          this.#known.set(fsPath, await this.#loadMenuWords(fsPath));
        }
      }
      await this.#tell(models);
    }
  }

  async #loadMenuWords(path: string): Promise<readonly MenuWord[] | undefined> {
    try {
      return listMenuWords((await this.#models.inspect(path)).capabilities);
    } catch {
      // The overview of the model shows its errors.
      return undefined;
    }
  }

  async #tell(models: readonly Uri[]): Promise<void> {
    const known = models.map((model) => ({
      paths: menuPaths([model, this.#folders.fileFolder(model) ?? model]),
      words: this.#known.get(model.fsPath),
    }));
    for (const [key, paths] of Object.entries(pathsWithout(known))) {
      await commands.executeCommand('setContext', key, paths);
    }
  }
}
