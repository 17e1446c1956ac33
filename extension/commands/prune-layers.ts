import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { commands, l10n, Uri, window, workspace } from 'vscode';
import type { DialectName } from '../core/export/dialects';
import type { FormName } from '../core/export/output-forms';
import type { OutputFormat, PruneResult } from '../core/export/prune-result';
import type { PrunePlan } from '../core/export/prune-plan';
import { commandIds } from '../services/command-ids';
import { fileExists, planPathOf, readPlan } from '../services/documents';
import { formatPercent } from '../core/format';
import { isModelFile, modelStem } from '../services/model-file';
import { pruneReport } from '../services/model-report';
import type { ModelSession } from '../services/model-session';
import { planOf } from '../services/plans';
import type { Services } from '../services/services';
import { confirmReplace } from './confirm-replace';
import { sessionOf } from './open-heatmap';
import { chooseForm } from './choose-form';
import { chooseTarget } from './target';

/** Answers given beforehand, so that nothing is asked. */
export interface PruneOptions {
  readonly format?: OutputFormat;
  /** Of the format; the usual one when absent. */
  readonly dialect?: DialectName;
  /** Path of the new folder. */
  readonly out?: string;
  /** Replace an existing folder without asking. */
  readonly overwrite?: boolean;
}

/** Writes a new model without the chosen sublayers. */
export async function pruneLayers(
  services: Services,
  argument: unknown,
  options: PruneOptions = {},
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
  const form =
    options.format === undefined
      ? await askForm(services, session, plan)
      : { format: options.format, dialect: options.dialect };
  const out = form && (options.out ?? (await chooseFolder(session, form.format)));
  if (form === undefined || out === undefined) {
    return undefined;
  }
  const exists = await fileExists(out);
  if (
    exists &&
    options.overwrite !== true &&
    !(await confirmReplace(
      out,
      l10n.t('Replace'),
      l10n.t('All that is in {0} will be deleted.', out),
    ))
  ) {
    return undefined;
  }
  const calibration = session.profile?.calibration;
  const { format, dialect } = form;
  const request = {
    model: session.model.path,
    plan,
    planFolder: dirname(target.plan ?? planPathOf(session.model.path)),
    out,
    format,
    ...(dialect === undefined ? {} : { dialect }),
    overwrite: exists,
    ...(calibration === undefined ? {} : { examples: calibration.source }),
  };
  const result = await services.modelJobs.prune(session, request);
  await services.reports.showText(basename(out), out, pruneReport(session.model, result));
  void offerNext(session, result);
  return result;
}

/** The plan that was clicked, or the heatmap's selection, or the plan beside the model. */
async function choosePlan(
  session: ModelSession,
  planPath: string | undefined,
): Promise<PrunePlan | undefined> {
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
  const open = l10n.t('Open Layer Heatmap');
  const chosen = await window.showInformationMessage(
    l10n.t('No sublayer of {0} is marked for removal yet.', session.model.name),
    open,
  );
  if (chosen === open) {
    services.heatmaps.show(session);
  }
}

async function askForm(
  services: Services,
  session: ModelSession,
  { remove, compress = [], patch = [] }: PrunePlan,
): Promise<FormName | undefined> {
  const { path: model, name } = session.model;
  return chooseForm(
    name,
    await services.worker.request('forms', {
      model,
      remove,
      compress: compress.map(({ tensor }) => tensor),
      patch: patch.map(({ sublayer }) => sublayer),
    }),
  );
}

async function chooseFolder(
  session: ModelSession,
  format: OutputFormat,
): Promise<string | undefined> {
  const source = session.model.path;
  const converts = format === 'onnx' && !isModelFile(source);
  const path = `${modelStem(source)}${converts ? '-pruned-onnx' : '-pruned'}`;
  const name = path.length - basename(path).length;
  const typed = await window.showInputBox({
    title: l10n.t('Prune {0}: new folder', session.model.name),
    prompt: l10n.t('The original is left as it is.'),
    value: path,
    valueSelection: [name, path.length],
    validateInput: (value) => whyUnfit(value, source),
  });
  return typed === undefined ? undefined : resolve(dirname(source), typed.trim());
}

/** Why a path cannot be the new folder, if so. */
export function whyUnfit(value: string, source: string): string | undefined {
  if (value.trim() === '') {
    return l10n.t('Write the path of the new folder.');
  }
  const path = resolve(dirname(source), value.trim());
  const contains = (outer: string, inner: string): boolean => {
    const way = relative(outer, inner);
    return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(way) !== way);
  };
  return contains(source, path) || contains(path, source)
    ? l10n.t('Choose a folder outside of the original.')
    : undefined;
}

async function offerNext(session: ModelSession, result: PruneResult): Promise<void> {
  const reveal = l10n.t('Reveal');
  const heatmap = l10n.t('Open Heatmap');
  const evaluate = l10n.t('Evaluate');
  const { bytesBefore, bytesAfter } = result;
  const graph = result.files.find(({ name }) => name.endsWith('.onnx'))?.name;
  const chosen = await window.showInformationMessage(
    l10n.t(
      '{0} is {1} smaller than {2} and verified.',
      basename(result.path),
      formatPercent((bytesBefore - bytesAfter) / bytesBefore),
      session.model.name,
    ),
    ...(graph === undefined ? [reveal, heatmap, evaluate] : [reveal, heatmap]),
  );
  const uri = Uri.file(result.path);
  if (chosen === reveal) {
    const inWorkspace = workspace.getWorkspaceFolder(uri) !== undefined;
    await commands.executeCommand(inWorkspace ? 'revealInExplorer' : 'revealFileInOS', uri);
  } else if (chosen === heatmap) {
    await commands.executeCommand(
      commandIds.openHeatmap,
      graph === undefined ? uri : Uri.file(join(result.path, graph)),
    );
  } else if (chosen === evaluate) {
    await commands.executeCommand(commandIds.evaluateModel, uri);
  }
}
