import { l10n, Uri, ViewColumn, window } from 'vscode';
import { writeDocument } from '../core/jobs/write-document';
import { UserError } from '../core/user-error';
import { fileExists, defaultPlanPath } from '../services/documents/documents';
import { budgetPlan } from '../services/documents/plans';
import type { Services } from '../services/services';
import { confirmReplace } from './questions/confirm-replace';
import { chooseCompression } from './open-compression';
import type { SavePlanOptions } from './save-plan';
import { say } from '../core/message';

/** Writes the plan made for a budget next to the model and opens it. */
export async function saveCompressionPlan(
  services: Services,
  argument: unknown,
  options: SavePlanOptions = {},
): Promise<Uri | undefined> {
  const session = await chooseCompression(services, argument, 'saveCompressionPlan');
  if (session === undefined) {
    return undefined;
  }
  const path = defaultPlanPath(session.model.path);
  const plan = budgetPlan(session, path);
  if (plan === undefined) {
    throw new UserError('plan-missing', say`There is no plan for ${session.model.name}.`, {
      remedy: say`Choose a budget in the compression panel, then Plan.`,
    });
  }
  if (
    options.overwrite !== true &&
    (await fileExists(path)) &&
    !(await confirmReplace(path, l10n.t('Replace')))
  ) {
    return undefined;
  }
  await writeDocument(path, plan);
  const uri = Uri.file(path);
  await window.showTextDocument(uri, { viewColumn: ViewColumn.One, preview: false });
  return uri;
}
