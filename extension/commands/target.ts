import { commands, l10n, Uri, window, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { plannedModelPath } from '../core/plans/plan';
import { UserError } from '../core/user-error';
import { isPlan, isProfile } from '../services/documents/documents';
import { isModelFile } from '../services/documents/model-file';
import { ModelSession } from '../services/sessions/model-session';
import type { Services } from '../services/services';
import { commandIds } from '../services/command-ids';
import type { CommandName } from '../services/command-ids';
import { commandTitle } from '../services/command-titles';
import { assertReadable, explainUnreadable } from '../services/trust';
import { askPath, choose } from './questions/ask';
import { say } from '../core/message';
import { followedBy } from './questions/steps';

/** Model, plan or profile that a command acts on. */
export interface Target {
  /** Path of the model folder or file, or of a file in the folder. */
  readonly model: string;
  /** Set if the command was invoked on a plan. */
  readonly plan?: string;
  /** Set if the command was invoked on a profile. */
  readonly profile?: string;
  /** Set when the command came from a heatmap. */
  readonly session?: ModelSession;
}

/**
 * The clicked file, else that of the active editor, else one that the user selects.
 * Undefined if the user selects nothing.
 * @param questions minimum number of questions that the command asks once it knows the model
 */
export async function chooseTarget(
  argument: unknown,
  services: Services,
  command: CommandName,
  questions = 0,
): Promise<Target | undefined> {
  const session = argument instanceof ModelSession ? argument : undefined;
  const shown = session ?? (argument === undefined ? services.heatmaps.active : undefined);
  if (shown !== undefined) {
    return { model: shown.model.path, session: shown };
  }
  const uri =
    toUri(argument) ??
    (await activeModelFile(services)) ??
    (await followedBy(questions, async () => pickModel(services, commandTitle(command), [], true)));
  return uri === undefined ? undefined : resolveTarget(uri, services);
}

async function resolveTarget(uri: Uri, { documents, folders }: Services): Promise<Target> {
  assertReadable(uri, explainUnreadable);
  const path = (folders.modelIn(uri) ?? uri).fsPath;
  if (isPlan(path)) {
    return { model: plannedModelPath(await documents.read('plan', path), path), plan: path };
  }
  if (isProfile(path)) {
    return { model: (await documents.read('layerProfile', path)).model.path, profile: path };
  }
  return { model: path };
}

/** Menus give a URI, links and key bindings a string, the tree view an item with `resourceUri`. */
export function toUri(argument: unknown): Uri | undefined {
  if (argument instanceof Uri) {
    return argument;
  }
  if (typeof argument === 'string') {
    return /^[a-z][a-z+.-]+:/i.test(argument) ? Uri.parse(argument, true) : Uri.file(argument);
  }
  if (typeof argument === 'object' && argument !== null && 'resourceUri' in argument) {
    return toUri(argument.resourceUri);
  }
  return undefined;
}

/** @throws UserError if nothing was clicked. */
export function requireUri(argument: unknown): Uri {
  const uri = toUri(argument);
  if (uri === undefined) {
    throw new UserError(
      'nothing-selected',
      say`Choose a model or a result in the side bar first.`,
      { remedy: undefined },
    );
  }
  return uri;
}

async function activeModelFile(services: Services): Promise<Uri | undefined> {
  const uri = window.activeTextEditor?.document.uri;
  if (uri === undefined) {
    return undefined;
  }
  const folder = Uri.joinPath(uri, '..').toString();
  const isInModel = (await services.folders.known()).some((known) => known.toString() === folder);
  return isPlan(uri.path) || isProfile(uri.path) || (isInModel && uri.path.endsWith('/config.json'))
    ? uri
    : undefined;
}

/** A dataset that the user selects. */
export async function pickData(title: string): Promise<Uri | undefined> {
  const folder: QuickPickItem = {
    label: `$(folder-opened) ${l10n.t('A folder…')}`,
    detail: l10n.t('Images in a folder for each class, MNIST (IDX), CIFAR, .npy or Parquet files'),
  };
  const file: QuickPickItem = {
    label: `$(go-to-file) ${l10n.t('A file…')}`,
    detail: l10n.t('.npz, .npy, .csv, .tsv, .jsonl, .parquet or IDX'),
  };
  const chosen = await choose([folder, file], { title });
  if (chosen === undefined) {
    return undefined;
  }
  return askPath({
    canSelectFiles: chosen === file,
    canSelectFolders: chosen === folder,
    title,
    openLabel: l10n.t('Choose'),
  });
}

/**
 * A model that the user picks, of the workspace's or elsewhere.
 * @param except paths of models that make no sense here
 * @param offersSample whether to offer the bundled sample if the workspace has no model
 */
export async function pickModel(
  services: Services,
  title: string,
  except: readonly string[] = [],
  offersSample = false,
): Promise<Uri | undefined> {
  const known = await services.folders.known();
  const folders = known.filter(({ fsPath }) => !except.includes(fsPath));
  const isFirst = offersSample && known.length === 0;
  const otherFolder: QuickPickItem = {
    label: `$(folder-opened) ${isFirst ? l10n.t('A model folder…') : l10n.t('Another folder…')}`,
  };
  const otherFile: QuickPickItem = {
    label: `$(go-to-file) ${l10n.t('A .gguf or .onnx file…')}`,
  };
  const items = folders.map((folder) => {
    const name = folder.path.split('/').at(-1) ?? '';
    const path = workspace.asRelativePath(folder);
    return {
      label: `${isModelFile(folder.path) ? '$(file-binary)' : '$(folder)'} ${name}`,
      ...(path === name ? {} : { description: path }),
      folder,
    };
  });
  const sample: QuickPickItem = { label: `$(package) ${commandTitle('trySample')}` };
  const chosen = await choose([...(isFirst ? [sample] : items), otherFolder, otherFile], {
    title,
    placeHolder:
      folders.length > 0
        ? l10n.t('Models of this workspace')
        : known.length > 0
          ? l10n.t('No other model is in this workspace')
          : l10n.t('No models in this workspace yet'),
  });
  if (chosen === undefined) {
    return undefined;
  }
  if (chosen === sample) {
    await commands.executeCommand(commandIds.trySample);
    return undefined;
  }
  return items.find((item) => item === chosen)?.folder ?? browse(chosen === otherFile);
}

/** One dialog cannot choose both files and folders on every system. */
async function browse(forFile: boolean): Promise<Uri | undefined> {
  return askPath({
    canSelectFiles: forFile,
    canSelectFolders: !forFile,
    ...(forFile ? { filters: { [l10n.t('Models')]: ['gguf', 'onnx'] } } : {}),
    title: forFile
      ? l10n.t('Choose a model file')
      : l10n.t('Choose a model folder: config.json next to .safetensors files'),
    openLabel: l10n.t('Open Model'),
  });
}
