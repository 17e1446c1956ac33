import { dirname } from 'node:path';
import { l10n, Uri } from 'vscode';
import { ExplorerSession } from '../services/sessions/explorer-session';
import type { Services } from '../services/services';
import { askPath } from './questions/ask';

/** Answers given in advance to the questions of the command. */
export interface ValuesOptions {
  readonly file?: string;
}

/** Shows the values of a JSON file on the data-flow diagram of the open model. */
export async function showValues(
  services: Services,
  argument: unknown,
  options: ValuesOptions = {},
): Promise<void> {
  const session = argument instanceof ExplorerSession ? argument : services.explorers.active;
  if (session === undefined) {
    return;
  }
  const file = options.file ?? (await chooseFile(session.path));
  if (file !== undefined) {
    session.setValues(file);
  }
}

async function chooseFile(near: string): Promise<string | undefined> {
  const file = await askPath({
    title: l10n.t('Values by the names of nodes, sublayers or tensors'),
    openLabel: l10n.t('Show Values'),
    filters: { JSON: ['json'] },
    defaultUri: Uri.file(dirname(near)),
  });
  return file?.fsPath;
}
