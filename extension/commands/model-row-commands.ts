import { env } from 'vscode';
import { UserError } from '../core/user-error';
import { isModelRow } from '../services/documents/model-row';
import type { ModelRow } from '../services/documents/model-row';
import type { Services } from '../services/services';
import { say } from '../core/message';

/** Opens the explorer at the row of an entry of the tree view. */
export async function showInExplorer(services: Services, argument: unknown): Promise<void> {
  const { resourceUri, row } = required(argument);
  const session = await services.explorers.show(resourceUri.fsPath);
  session.reveal(row);
}

/** Copies the id of a sublayer or block for use in plans, or the name of a tensor. */
export async function copyName(_: Services, argument: unknown): Promise<void> {
  await env.clipboard.writeText(required(argument).name);
}

/** Looks again for models in the workspace. */
export async function refreshModels(services: Services): Promise<void> {
  await services.folders.refresh();
}

function required(argument: unknown): ModelRow {
  if (!isModelRow(argument)) {
    throw new UserError(
      'nothing-selected',
      say`Choose a part of a model in the Models view first.`,
      { remedy: undefined },
    );
  }
  return argument;
}
