import { basename, dirname } from 'node:path';
import { l10n } from 'vscode';
import { ExplorerSession } from '../services/sessions/explorer-session';
import type { Services } from '../services/services';
import { chooseTarget, pickModel } from './target';

/** Answers given in advance to the questions of the command. */
export interface CompareOptions {
  /** Path of the other model. */
  readonly against?: string;
}

/** Shows the differences between two models in the explorer of the first. */
export async function compareModels(
  services: Services,
  argument: unknown,
  { against }: CompareOptions = {},
): Promise<ExplorerSession | undefined> {
  const known =
    argument instanceof ExplorerSession
      ? argument
      : argument === undefined
        ? services.explorers.active
        : undefined;
  const path = known?.path ?? (await chooseTarget(argument, services, 'compareModels', 1))?.model;
  if (path === undefined) {
    return undefined;
  }
  const own = weightsToModel(path);
  const other =
    against ??
    (await pickModel(services, l10n.t('Compare {0} with', basename(own)), [own]))?.fsPath;
  if (other === undefined) {
    return undefined;
  }
  // Not before the question, which it would take the focus from.
  const session = known ?? (await services.explorers.show(path));
  await session.compare(other, false);
  return session;
}

/** The explorer may show one file of a folder. */
const weightsToModel = (path: string): string =>
  /\.safetensors$/i.test(path) ? dirname(path) : path;
