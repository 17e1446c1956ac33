import { l10n, Uri, ViewColumn, window } from 'vscode';
import { writeDocument } from '../core/jobs/write-document';
import { fileExists, defaultPlanPath } from '../services/documents/documents';
import { selectionPlan } from '../services/documents/plans';
import type { Services } from '../services/services';
import { confirmReplace } from './questions/confirm-replace';
import { chooseSession, requireSelection } from './open-heatmap';

/** Answers given in advance to the questions of the command. */
export interface SavePlanOptions {
  readonly overwrite?: boolean;
}

/** Writes the heatmap's selection as a plan next to the model and opens it. */
export async function savePlan(
  services: Services,
  argument: unknown,
  options: SavePlanOptions = {},
): Promise<Uri | undefined> {
  const session = await chooseSession(services, argument, 'savePlan');
  if (session === undefined) {
    return undefined;
  }
  requireSelection(session);
  const path = defaultPlanPath(session.model.path);
  if (
    options.overwrite !== true &&
    (await fileExists(path)) &&
    !(await confirmReplace(path, l10n.t('Replace')))
  ) {
    return undefined;
  }
  await writeDocument(path, selectionPlan(session, path));
  const uri = Uri.file(path);
  await window.showTextDocument(uri, { viewColumn: ViewColumn.One, preview: false });
  return uri;
}
