import { basename } from 'node:path';
import { l10n, ProgressLocation, window, workspace } from 'vscode';
import type { QuickPickItem, Uri } from 'vscode';
import { documentGlob } from '../core/document-names';
import type { ScoredSource } from '../core/datadiet/scores/scored-data';
import { say } from '../core/message';
import type { Message } from '../core/message';
import { UserError } from '../core/user-error';
import { tellDone } from '../services/activation/steps-done';
import { DataMapSession } from '../services/sessions/data-map-session';
import { isScores } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertReadable, explainDataUnreadable } from '../services/trust';
import { pickData, toUri } from './target';
import { askPath, choose } from './questions/ask';

/** Answers given in advance to the questions of the command. */
export interface OpenDataMapOptions {
  /** Path of the dataset, if the scores do not name it. */
  readonly data?: string;
}

/** Shows scores as a data map; if called on a map, asks for its dataset again. */
export async function openDataMap(
  services: Services,
  argument: unknown,
  { data }: OpenDataMapOptions = {},
): Promise<DataMapSession | undefined> {
  if (argument instanceof DataMapSession) {
    const chosen = data ?? (await pickData(l10n.t('Choose the dataset that was scored')))?.fsPath;
    if (chosen !== undefined) {
      await argument.chooseData(chosen);
    }
    return argument;
  }
  const source = await chooseScores(argument, data);
  if (source === undefined) {
    return undefined;
  }
  const session = await services.dataMaps.show(source);
  tellDone('openDataMap');
  return session;
}

/**
 * Waits until the scores and their dataset are open, with a notification while they are not.
 * @returns false if the user cancels; opening continues for the map
 */
export async function waitForData(session: DataMapSession): Promise<boolean> {
  if (session.data !== undefined) {
    return true;
  }
  const title = l10n.t('Opening the dataset…');
  const options = { location: ProgressLocation.Notification, title, cancellable: true };
  return window.withProgress(options, async (_, token) => {
    const cancelled = new Promise<false>((resolve) => {
      token.onCancellationRequested(() => {
        resolve(false);
      });
    });
    return Promise.race([session.opened().then(() => true), cancelled]);
  });
}

/**
 * Error for scores without a map.
 * @param problem the reason, if it is known
 */
export const scoresUnreadable = (
  { scores }: ScoredSource,
  remedy: Message,
  problem: Message = say`These scores cannot be read.`,
): UserError => new UserError('scores-unreadable', problem, { file: scores, remedy });

/** Returns the data map for a command: the given one, the focused one, or one for scores that the user selects. */
export async function resolveDataMap(
  services: Services,
  argument: unknown,
): Promise<DataMapSession | undefined> {
  if (argument instanceof DataMapSession) {
    return argument;
  }
  const active = argument === undefined ? services.dataMaps.active : undefined;
  if (active !== undefined) {
    return active;
  }
  const source = await chooseScores(argument);
  return source === undefined ? undefined : services.dataMaps.session(source);
}

/** The clicked file, or a file of scores that the user selects. */
async function chooseScores(argument: unknown, data?: string): Promise<ScoredSource | undefined> {
  const uri = toUri(argument) ?? (await pickScores());
  if (uri === undefined) {
    return undefined;
  }
  assertReadable(uri, explainDataUnreadable);
  const scores = uri.fsPath;
  if (data !== undefined || isScores(scores)) {
    return { scores, ...(data === undefined ? {} : { data }) };
  }
  // Scores of other tools do not name their dataset.
  const named = await askData(basename(scores));
  return named === undefined ? undefined : { scores, ...named };
}

async function askData(name: string): Promise<{ data?: string } | undefined> {
  const data: QuickPickItem = { label: l10n.t('Choose the dataset…') };
  const without: QuickPickItem = { label: l10n.t('Show the scores alone') };
  const chosen = await choose([data, without], {
    title: l10n.t("{0} doesn't specify its dataset", name),
  });
  if (chosen !== data) {
    return chosen === undefined ? undefined : {};
  }
  const uri = await pickData(data.label);
  return uri === undefined ? undefined : { data: uri.fsPath };
}

async function pickScores(): Promise<Uri | undefined> {
  const files = await workspace.findFiles(documentGlob('scores'), '**/node_modules/**', 200);
  const other: QuickPickItem = { label: `$(go-to-file) ${l10n.t('Scores of another tool…')}` };
  const items = files.map((file) => ({
    label: `$(graph-scatter) ${basename(file.fsPath)}`,
    description: workspace.asRelativePath(file),
    file,
  }));
  const chosen = await choose([...items, other], {
    title: l10n.t('Choose scores'),
    placeHolder: l10n.t('Scores of this workspace'),
  });
  if (chosen !== other) {
    return items.find((item) => item === chosen)?.file;
  }
  return askPath({
    title: l10n.t('Choose scores: .npy, .csv, .json or .jsonl'),
    filters: { [l10n.t('Scores')]: ['json', 'jsonl', 'npy', 'csv'] },
  });
}
