import { basename, join } from 'node:path';
import { commands, l10n, Uri } from 'vscode';
import type { PruneResult } from '../core/export/prune-result';
import type { Plan } from '../core/export/plan';
import { commandIds } from '../services/command-ids';
import { fileExists, planPathOf, readPlan } from '../services/documents';
import { formatPercent } from '../core/format';
import { pruneReport } from '../services/model-report';
import type { ModelSession } from '../services/model-session';
import { offer } from '../services/offer';
import type { Action } from '../services/offer';
import { planOf } from '../services/plans';
import { withAbsolutePaths } from '../core/export/patching/planned-patches';
import type { Services } from '../services/services';
import { chooseOutput, revealFolder } from './choose-output';
import type { OutputOptions } from './choose-output';
import { sessionOf } from './open-heatmap';
import { chooseTarget } from './target';

/** Writes a new model without the chosen sublayers. */
export async function pruneLayers(
  services: Services,
  argument: unknown,
  options: OutputOptions = {},
): Promise<PruneResult | undefined> {
  const target = await chooseTarget(argument, services);
  if (target === undefined) {
    return undefined;
  }
  const session = await sessionOf(services, target);
  services.jobs.assertFree();
  const plan = await choosePlan(session, target.plan);
  if (plan === undefined) {
    void offerHeatmap(services, session);
    return undefined;
  }
  const { name } = session.model;
  const output = await chooseOutput(services, session.model, plan, options, {
    formatTitle: l10n.t('Prune {0}: format', name),
    folderTitle: l10n.t('Prune {0}: new folder', name),
    suffix: '-pruned',
  });
  if (output === undefined) {
    return undefined;
  }
  const calibration = session.profile?.calibration;
  const request = {
    model: session.model.path,
    plan: withAbsolutePaths(plan, target.plan ?? planPathOf(session.model.path)),
    ...output,
    quality: false,
    ...(calibration === undefined ? {} : { examples: calibration.source }),
  };
  const result = await services.modelJobs.prune(session, request);
  await services.reports.showText(
    basename(result.path),
    result.path,
    pruneReport(session.model, result),
  );
  void offerNext(session, result);
  return result;
}

/** The plan that was clicked, or the heatmap's selection, or the plan beside the model. */
async function choosePlan(
  session: ModelSession,
  planPath: string | undefined,
): Promise<Plan | undefined> {
  if (planPath !== undefined) {
    return readPlan(planPath);
  }
  const beside = planPathOf(session.model.path);
  if (session.selection.removed.length > 0) {
    return planOf(session, beside);
  }
  return (await fileExists(beside)) ? readPlan(beside) : undefined;
}

async function offerHeatmap(services: Services, session: ModelSession): Promise<void> {
  const show = (): void => {
    services.heatmaps.show(session);
  };
  await offer(l10n.t('No sublayer of {0} is marked for removal yet.', session.model.name), [
    [l10n.t('Open Layer Heatmap'), show],
  ]);
}

async function offerNext(session: ModelSession, result: PruneResult): Promise<void> {
  const { bytesBefore, bytesAfter } = result;
  const graph = result.files.find(({ name }) => name.endsWith('.onnx'))?.name;
  const uri = Uri.file(result.path);
  const model = graph === undefined ? uri : Uri.file(join(result.path, graph));
  const message = l10n.t(
    '{0} is {1} smaller than {2} and verified.',
    basename(result.path),
    formatPercent((bytesBefore - bytesAfter) / bytesBefore),
    session.model.name,
  );
  const evaluate: Action = [
    l10n.t('Evaluate'),
    () => commands.executeCommand(commandIds.evaluateModel, uri),
  ];
  await offer(message, [
    [l10n.t('Reveal'), () => revealFolder(uri)],
    [l10n.t('Open Heatmap'), () => commands.executeCommand(commandIds.openHeatmap, model)],
    ...(graph === undefined ? [evaluate] : []),
  ]);
}
