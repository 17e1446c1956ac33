import { l10n, Uri, ViewColumn, window } from 'vscode';
import { writeDocument } from '../core/jobs/write-document';
import { UserError } from '../core/user-error';
import { fileExists, planPathOf } from '../services/documents/documents';
import { planOf } from '../services/documents/plans';
import type { Services } from '../services/services';
import { confirmReplace } from './questions/confirm-replace';
import { chooseSession } from './open-heatmap';
import { say } from '../core/message';

/** How a command that would ask can be told beforehand. */
export interface SavePlanOptions {
  readonly overwrite?: boolean;
}

/** Writes the heatmap's selection as a plan beside the model and opens it. */
export async function savePlan(
  services: Services,
  argument: unknown,
  options: SavePlanOptions = {},
): Promise<Uri | undefined> {
  const session = await chooseSession(services, argument, 'savePlan');
  if (session === undefined) {
    return undefined;
  }
  if (session.selection.removed.length === 0) {
    throw new UserError(say`No sublayer of ${session.model.name} is marked for removal.`, {
      remedy: say`Mark some in the heatmap, or move its slider.`,
    });
  }
  const path = planPathOf(session.model.path);
  if (
    options.overwrite !== true &&
    (await fileExists(path)) &&
    !(await confirmReplace(path, l10n.t('Replace')))
  ) {
    return undefined;
  }
  await writeDocument(path, planOf(session, path));
  const uri = Uri.file(path);
  await window.showTextDocument(uri, { viewColumn: ViewColumn.One, preview: false });
  return uri;
}
