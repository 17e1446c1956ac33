import { stat } from 'node:fs/promises';
import { Disposable, EventEmitter, l10n, ThemeIcon, TreeItem, Uri, workspace } from 'vscode';
import type { TreeDataProvider } from 'vscode';
import { documentIds, documentNames, findDocumentType, manifestName } from '../core/document-names';
import type { DocumentId } from '../core/document-names';
import { describeModelItem } from './model-item';
import { commandIds } from '../services/command-ids';
import { distinctNames } from '../services/documents/distinct-names';
import type { ModelFolders } from '../services/documents/model-folders';
import type { OpenModels } from '../services/documents/open-models';
import { Throttle } from '../services/throttle';

/** Kind of a result: a document, a report, or a model that Espalier wrote. */
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
/** Maximum number of files to check, and to check at the same time. Only the latest are shown. */
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

/** Results in the workspace, the latest first. */
export class ResultsView implements TreeDataProvider<Result>, Disposable {
  readonly #folders: ModelFolders;
  readonly #models: OpenModels;
  readonly #changed = new EventEmitter<undefined>();
  /** Names of the results, by kind and path. */
  #names: ReadonlyMap<string, string> = new Map();
  readonly #disposable: Disposable;

  public readonly onDidChangeTreeData = this.#changed.event;

  public constructor(folders: ModelFolders, models: OpenModels) {
    this.#folders = folders;
    this.#models = models;
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
    const shown = results
      .map((result) => this.#withModelFile(result))
      .sort((a, b) => b.changed - a.changed)
      .slice(0, mostShown);
    this.#names = resultNames(shown);
    return shown;
  }

  public async getTreeItem(result: Result): Promise<TreeItem> {
    const { kind, resourceUri } = result;
    const item = new TreeItem(resourceUri);
    const name = this.#names.get(resultKey(result)) ?? resultStem(result);
    const kindText = kindName(kind);
    item.label = name;
    item.description = kindText;
    item.tooltip = workspace.asRelativePath(resourceUri);
    item.iconPath = new ThemeIcon(icons[kind]);
    item.contextValue = kind;
    item.command = {
      command: commandIds.openResult,
      title: l10n.t('Open'),
      arguments: [result],
    };
    if (kind === 'model') {
      await describeModelItem(item, resourceUri, this.#models);
      item.description = `${kindText} · ${item.description}`;
    }
    item.accessibilityInformation = { label: `${name}, ${item.description}` };
    return item;
  }

  public dispose(): void {
    this.#disposable.dispose();
  }

  /** A folder that Espalier wrote may contain the model as one file. */
  #withModelFile(result: Result): Result {
    const inside =
      result.kind === 'model' &&
      this.#folders.folders.find(
        (model) => Uri.joinPath(model, '..').path === result.resourceUri.path,
      );
    return inside ? { ...result, resourceUri: inside } : result;
  }
}

async function resultAt(file: Uri): Promise<Result | undefined> {
  const name = file.path.split('/').at(-1) ?? '';
  const isModel = name === manifestName;
  const kind = isModel ? 'model' : (findDocumentType(name) ?? 'report');
  const resourceUri = isModel ? Uri.joinPath(file, '..') : file;
  // The file may have been deleted.
  const found = await stat(file.fsPath).catch(() => undefined);
  return found && { kind, resourceUri, changed: found.mtimeMs };
}

const resultKey = ({ kind, resourceUri }: Result): string => `${kind} ${resourceUri.path}`;

/** Display names of results by key, distinct among results of the same kind. */
function resultNames(results: readonly Result[]): ReadonlyMap<string, string> {
  const pathWithoutSuffix = (result: Result): string =>
    `${Uri.joinPath(result.resourceUri, '..').path}/${resultStem(result)}`;
  const names = [...new Set(results.map(({ kind }) => kind))].flatMap((kind) => {
    const sameKind = results.filter((result) => result.kind === kind);
    const distinct = distinctNames(sameKind.map(pathWithoutSuffix));
    return sameKind.map(
      (result) =>
        [resultKey(result), distinct.get(pathWithoutSuffix(result)) ?? resultStem(result)] as const,
    );
  });
  return new Map(names);
}

/** The file's name without the suffix of its kind. */
function resultStem({ kind, resourceUri: { path } }: Result): string {
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
