import { l10n } from 'vscode';
import type { ApplyResult } from '../core/operations/apply-plan';
import type { Plan } from '../core/plans/plan';
import { fileExists, defaultPlanPath } from '../services/documents/documents';
import type { ModelSession } from '../services/sessions/model-session';
import { isWhole } from '../services/sessions/selection';
import { offer } from '../services/offer';
import { prune } from '../core/operations/prune';
import { runFor } from '../services/jobs/model-requests';
import { idleSettings, selectionPlan } from '../services/documents/plans';
import { withAbsolutePaths } from '../core/pipelines/patching/planned-patches';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { chooseOutput, withImportance } from './questions/choose-output';
import type { OutputOptions } from './questions/choose-output';
import { openSession } from './open-heatmap';
import { chooseTarget } from './target';

/** Writes a new model without the chosen sublayers. */
export async function pruneLayers(
  services: Services,
  argument: unknown,
  options: OutputOptions = {},
): Promise<ApplyResult | undefined> {
  const target = await chooseTarget(argument, services, 'pruneLayers', 1);
  if (target === undefined) {
    return undefined;
  }
  const session = await openSession(services, target);
  assertAllowed(session.blocked);
  const plan = await choosePlan(services, session, target.plan);
  if (plan === undefined) {
    void offerHeatmap(services, session);
    return undefined;
  }
  const { name } = session.model;
  const output = await chooseOutput(services, session.model, plan, options, {
    formatTitle: l10n.t('Prune {0}: format', name),
    folderTitle: l10n.t('Prune {0}: new folder', name),
    suffix: '-pruned',
    types: {
      weighs:
        (plan.widths ?? []).length === 0 && !plan.remove.some((id) => id.includes('.expert.')),
    },
  });
  if (output === undefined) {
    return undefined;
  }
  const calibration = session.profile?.calibration;
  const given = {
    model: session.model.path,
    plan: withAbsolutePaths(plan, target.plan ?? defaultPlanPath(session.model.path)),
    ...(await withImportance(services, session.model, output)),
    ...(calibration === undefined ? {} : { examples: calibration.source }),
  };
  const request = services.settings.request(prune, given, idleSettings(plan));
  return runFor(services.jobs, session, 'prune', request);
}

/** The clicked plan, the heatmap's selection, or the plan next to the model. */
async function choosePlan(
  { documents }: Services,
  session: ModelSession,
  planPath: string | undefined,
): Promise<Plan | undefined> {
  if (planPath !== undefined) {
    return documents.read('plan', planPath);
  }
  const siblingPlan = defaultPlanPath(session.model.path);
  if (!isWhole(session.choice)) {
    return selectionPlan(session, siblingPlan);
  }
  return (await fileExists(siblingPlan)) ? documents.read('plan', siblingPlan) : undefined;
}

async function offerHeatmap(services: Services, session: ModelSession): Promise<void> {
  const show = (): void => {
    services.heatmaps.show(session);
  };
  await offer(l10n.t('No sublayer of {0} is marked for removal yet.', session.model.name), [
    [l10n.t('Open Layer Heatmap'), show],
  ]);
}
