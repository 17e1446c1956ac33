import { stat } from 'node:fs/promises';
import { Disposable, EventEmitter, l10n, ThemeIcon, TreeItem, Uri, workspace } from 'vscode';
import type { Command, TreeDataProvider } from 'vscode';
import { documentIds, documentNames, documentOf, manifestName } from '../core/document-names';
import type { DocumentId } from '../core/document-names';
import { commandIds } from '../services/command-ids';
import type { ModelFolders } from '../services/documents/model-folders';
import { Throttle } from '../services/throttle';

/** What a result is: a document, a page about one, or a model that Espalier wrote. */
type ResultKind = DocumentId | 'report' | 'model';

/** A result in the workspace. */
export interface Result {
  readonly kind: ResultKind;
  readonly resourceUri: Uri;
  /** Milliseconds since 1970. */
  readonly changed: number;
}

const suffixes = [
  '.report.html',
  '.report.md',
  ...documentIds.map((id) => documentNames[id].suffix),
];
const pattern = `**/{${[manifestName, ...suffixes.map((suffix) => `*${suffix}`)].join()}}`;
const mostShown = 500;
/** How many files are looked at, and how many at once. Only the latest are shown. */
const [mostLookedAt, atOnce] = [20_000, 64];

const icons: Readonly<Record<ResultKind, string>> = {
  layerProfile: 'flame',
  plan: 'checklist',
  sensitivity: 'graph',
  scores: 'graph-scatter',
  textScores: 'book',
  selection: 'filter',
  experiment: 'beaker',
  evaluation: 'graph-line',
  evolution: 'type-hierarchy',
  report: 'preview',
  model: 'package',
};

/** What was measured, planned and written in the workspace, the latest first. */
export class ResultsView implements TreeDataProvider<Result>, Disposable {
  readonly #folders: ModelFolders;
  readonly #changed = new EventEmitter<undefined>();
  readonly #disposable: Disposable;

  public readonly onDidChangeTreeData = this.#changed.event;

  public constructor(folders: ModelFolders) {
    this.#folders = folders;
    const refresh = new Throttle(() => {
      this.#changed.fire(undefined);
    }, 1000);
    const changed = (): void => {
      refresh.trigger();
    };
    const watcher = workspace.createFileSystemWatcher(pattern);
    this.#disposable = Disposable.from(
      this.#changed,
      refresh,
      watcher,
      watcher.onDidCreate(changed),
      watcher.onDidChange(changed),
      watcher.onDidDelete(changed),
      workspace.onDidChangeWorkspaceFolders(changed),
    );
  }

  public async getChildren(parent?: Result): Promise<Result[]> {
    if (parent !== undefined) {
      return [];
    }
    const files = await workspace.findFiles(pattern, '**/node_modules/**', mostLookedAt);
    const results: Result[] = [];
    for (let start = 0; start < files.length; start += atOnce) {
      const some = await Promise.all(files.slice(start, start + atOnce).map(resultAt));
      results.push(...some.filter((one) => one !== undefined));
    }
    return results.sort((a, b) => b.changed - a.changed).slice(0, mostShown);
  }

  public getTreeItem({ kind, resourceUri }: Result): TreeItem {
    const item = new TreeItem(resourceUri);
    const [name, what] = [nameOf(kind, resourceUri), kindName(kind)];
    item.label = name;
    item.description = what;
    item.accessibilityInformation = { label: `${name}, ${what}` };
    item.tooltip = workspace.asRelativePath(resourceUri);
    item.iconPath = new ThemeIcon(icons[kind]);
    item.contextValue = kind;
    item.command = this.#commandOf(kind, resourceUri);
    return item;
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  #commandOf(kind: ResultKind, place: Uri): Command {
    const title = l10n.t('Open');
    if (kind !== 'layerProfile' && kind !== 'model') {
      return { command: 'vscode.open', title, arguments: [place] };
    }
    // A folder may hold the model as one file.
    const inside = this.#folders.folders.find(
      (model) => model.path === place.path || Uri.joinPath(model, '..').path === place.path,
    );
    return { command: commandIds.openHeatmap, title, arguments: [inside ?? place] };
  }
}

async function resultAt(file: Uri): Promise<Result | undefined> {
  const name = file.path.split('/').at(-1) ?? '';
  const isModel = name === manifestName;
  const kind = isModel ? 'model' : (documentOf(name) ?? 'report');
  const resourceUri = isModel ? Uri.joinPath(file, '..') : file;
  // A file may be gone by now.
  const found = await stat(file.fsPath).catch(() => undefined);
  return found && { kind, resourceUri, changed: found.mtimeMs };
}

/** The file's name without what its kind says. */
function nameOf(kind: ResultKind, { path }: Uri): string {
  const name = path.split('/').at(-1) ?? '';
  if (kind === 'model') {
    return name;
  }
  return kind === 'report'
    ? name.replace(/\.report\.(?:html|md)$/, '')
    : name.slice(0, -documentNames[kind].suffix.length);
}

function kindName(kind: ResultKind): string {
  const names: Readonly<Record<ResultKind, string>> = {
    layerProfile: l10n.t('Layer profile'),
    plan: l10n.t('Plan'),
    sensitivity: l10n.t('Sensitivity profile'),
    scores: l10n.t('Data scores'),
    textScores: l10n.t('Text scores'),
    selection: l10n.t('Subset'),
    experiment: l10n.t('Experiment'),
    evaluation: l10n.t('Evaluation'),
    evolution: l10n.t('Evolution'),
    report: l10n.t('Report'),
    model: l10n.t('Model'),
  };
  return names[kind];
}
