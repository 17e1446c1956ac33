import { basename, dirname } from 'node:path';
import { l10n } from 'vscode';
import { ExplorerSession } from '../services/sessions/explorer-session';
import type { Services } from '../services/services';
import { chooseTarget, pickModel } from './target';

/** Answers given beforehand. */
export interface CompareOptions {
  /** Path of the other model. */
  readonly against?: string;
}

/** Shows in the explorer of one model what another has differently. */
export async function compareModels(
  services: Services,
  argument: unknown,
  { against }: CompareOptions = {},
): Promise<ExplorerSession | undefined> {
  const session =
    argument instanceof ExplorerSession ? argument : await openExplorer(services, argument);
  const own = session === undefined ? '' : modelOf(session.path);
  const other =
    session &&
    (against ??
      (await pickModel(services, l10n.t('Compare {0} with', basename(own)), [own]))?.fsPath);
  if (session === undefined || other === undefined) {
    return undefined;
  }
  await session.compare(other, false);
  return session;
}

async function openExplorer(
  services: Services,
  argument: unknown,
): Promise<ExplorerSession | undefined> {
  const active = argument === undefined ? services.explorers.active : undefined;
  if (active !== undefined) {
    return active;
  }
  const target = await chooseTarget(argument, services, 'compareModels');
  return target === undefined ? undefined : services.explorers.show(target.model);
}

/** The explorer may have been opened on one of the files of a folder. */
const modelOf = (path: string): string => (/\.safetensors$/i.test(path) ? dirname(path) : path);
