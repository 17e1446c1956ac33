import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { commands, l10n, Uri } from 'vscode';
import { fileExists } from '../services/documents/documents';
import { commandIds } from '../services/command-ids';
import { isModelFile } from '../services/documents/model-file';
import type { EvaluateOptions } from './evaluate-model';
import { openPage } from './open-result';
import type { NextStep } from '../core/operations/presentation';
import { documentOf } from '../services/jobs/job-panels';
import { operationOf } from '../services/jobs/operations';
import type { JobRecord } from '../services/jobs/job-record';
import type { Action } from '../services/offer';
import type { Services } from '../services/services';
import { revealFolder } from './questions/choose-output';
import { useForCalibration } from './score-text';

/** Shows what a job has written, or the panel that follows it meanwhile. */
export async function openResult(services: Services, job: JobRecord): Promise<void> {
  const { opens, panel } = operationOf(job.operation);
  const [path] = job.outputs;
  const written = opens === 'writtenModel' && path !== undefined ? await modelIn(path) : undefined;
  if (written !== undefined) {
    await services.jobPanels.heatmap.open(written, undefined);
  } else if (panel !== undefined && (opens === undefined || opens === 'writtenModel')) {
    await services.jobPanels[panel].open(job.model, documentOf(job));
  } else if (path !== undefined) {
    await openFile(Uri.file(path), opens);
  }
}

/** Opens the output of a job; a folder, or a file that no editor shows, in the Explorer. */
async function openFile(file: Uri, opens: ReturnType<typeof operationOf>['opens']): Promise<void> {
  if (opens === 'report') {
    await openPage(file);
  } else if (opens === 'folder' || (opens === undefined && extname(file.path) === '')) {
    await revealFolder(file);
  } else {
    await commands.executeCommand('vscode.open', file);
  }
}

/** Offers after a finished job, the most useful first: a notification shows three. */
export function nextSteps(services: Services, job: JobRecord): Action[] {
  const [path] = job.outputs;
  if (path === undefined) {
    return [];
  }
  const { opens, original, nextSteps: declared } = operationOf(job.operation);
  const steps = declared?.(job.request) ?? [opens === 'folder' ? 'reveal' : 'show'];
  const run =
    (command: string, options?: object): Action[1] =>
    async () =>
      commands.executeCommand(command, Uri.file((await modelIn(path)) ?? path), options);
  const source = original === undefined ? job.model : String(Reflect.get(job.request, original));
  const open = async (): Promise<void> => openResult(services, job);
  // On text, which asks nothing more.
  const onText = { measure: 'text' } satisfies EvaluateOptions;
  const actions: Readonly<Record<NextStep, Action>> = {
    openHeatmap: [l10n.t('Open Heatmap'), run(commandIds.openHeatmap)],
    showHeatmap: [
      l10n.t('Open Heatmap'),
      async () => services.jobPanels.heatmap.open(job.model, undefined),
    ],
    playground: [l10n.t('Playground'), run(commandIds.openPlayground, { against: source })],
    evaluate: [l10n.t('Evaluate'), run(commandIds.evaluateModel, onText)],
    evaluateBoth: [
      l10n.t('Evaluate Both'),
      run(commandIds.evaluateModel, { ...onText, against: source }),
    ],
    compare: [l10n.t('Compare'), run(commandIds.compareModels, { against: source })],
    repair: [l10n.t('Repair…'), run(commandIds.repairModel, { teacher: source })],
    inspect: [l10n.t('Inspect'), run(commandIds.inspectModel)],
    calibrate: [l10n.t('Use for Calibration'), () => useForCalibration(path)],
    reveal: [l10n.t('Reveal'), () => revealFolder(Uri.file(path))],
    open: [l10n.t('Open'), open],
    show: [l10n.t('Show'), open],
  };
  return steps.map((step) => actions[step]);
}

/** The model that a job has written into a folder: the folder itself, or a file in it. */
async function modelIn(folder: string): Promise<string | undefined> {
  if (!(await fileExists(folder))) {
    return undefined;
  }
  const names = await readdir(folder).catch((): string[] => []);
  const file = names.includes('config.json') ? undefined : names.find(isModelFile);
  return file === undefined ? folder : join(folder, file);
}
