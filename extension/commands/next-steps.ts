import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { commands, env, l10n, Uri } from 'vscode';
import { fileExists } from '../services/documents/documents';
import { commandIds } from '../services/command-ids';
import { isModelFile } from '../services/documents/model-file';
import type { EvaluateOptions } from './evaluate-model';
import type { JobRecord } from '../services/jobs/job-record';
import type { Action } from '../services/offer';
import type { Services } from '../services/services';
import { logOf } from '../services/sessions/synthesis-sessions';
import { revealFolder } from './questions/choose-output';
import { useForCalibration } from './score-text';

/** Shows what a job has written, or the panel that tells of it meanwhile. */
export async function openResult(services: Services, job: JobRecord): Promise<void> {
  switch (job.operation) {
    case 'profile':
      services.heatmaps.show(await services.sessions.open(job.model, job.request.out));
      break;
    case 'drift':
      await showHeatmap(services, job.model);
      break;
    case 'sensitivity':
      await showCompression(services, job.model, job.request.out);
      break;
    case 'plan-compression':
    case 'pareto':
      await showCompression(services, job.model, job.request.sensitivity);
      break;
    case 'prune':
    case 'compress':
    case 'repair':
    case 'patch':
    case 'evaluate': {
      const written = job.outputs[0] === undefined ? undefined : await modelIn(job.outputs[0]);
      if (written === undefined && job.operation === 'compress') {
        await showCompression(services, job.model);
      } else {
        services.heatmaps.show(await services.sessions.open(written ?? job.model));
      }
      break;
    }
    case 'score-data':
      await services.dataMaps.show({ scores: job.request.out });
      break;
    case 'data-diet':
    case 'score-text':
      await commands.executeCommand('vscode.open', Uri.file(job.request.out ?? ''));
      break;
    case 'report':
      await openReport(Uri.file(job.request.out));
      break;
    case 'synthesize':
      services.syntheses.show(services.synthesisSessions.get(logOf(job.request.out)));
      break;
    case 'convert':
    case 'imatrix':
    case 'export-data':
    case 'select-data':
    case 'convert-scores':
      await revealFolder(Uri.file(job.request.out));
      break;
    default: {
      const [path] = job.outputs;
      if (path !== undefined) {
        const file = Uri.file(path);
        await (extname(path) === ''
          ? revealFolder(file)
          : commands.executeCommand('vscode.open', file));
      }
    }
  }
}

/** What a user may want to do with the result of a job, the most wanted first: a notification shows three. */
export function nextSteps(services: Services, job: JobRecord): Action[] {
  const [path] = job.outputs;
  if (path === undefined) {
    return [];
  }
  const folder = Uri.file(path);
  const run =
    (command: string, options?: object): Action[1] =>
    async () =>
      commands.executeCommand(command, Uri.file((await modelIn(path)) ?? path), options);
  const against = { against: job.model };
  const reveal: Action = [l10n.t('Reveal'), () => revealFolder(folder)];
  const heatmap: Action = [l10n.t('Open Heatmap'), run(commandIds.openHeatmap)];
  const playground: Action = [l10n.t('Playground'), run(commandIds.openPlayground, against)];
  // On text, which asks nothing more.
  const evaluate = (options: EvaluateOptions = {}): Action[1] =>
    run(commandIds.evaluateModel, { ...options, measure: 'text' });
  const evaluateBoth: Action = [l10n.t('Evaluate Both'), evaluate(against)];
  switch (job.operation) {
    case 'prune':
      return [
        heatmap,
        playground,
        ...(job.request.format === 'onnx' ? [] : [[l10n.t('Evaluate'), evaluate()] as const]),
        reveal,
      ];
    case 'compress':
      return [
        [l10n.t('Compare'), run(commandIds.compareModels, against)],
        playground,
        ...(job.request.format === 'safetensors'
          ? [
              [l10n.t('Repair…'), run(commandIds.repairModel, { teacher: job.model })] as const,
              evaluateBoth,
            ]
          : []),
        reveal,
      ];
    case 'convert':
      return [reveal, [l10n.t('Compare'), run(commandIds.compareModels, against)], playground];
    case 'repair': {
      const original = { against: job.request.teacher };
      return [
        [l10n.t('Evaluate Both'), evaluate(original)],
        [l10n.t('Playground'), run(commandIds.openPlayground, original)],
        reveal,
        [l10n.t('Inspect'), run(commandIds.inspectModel)],
      ];
    }
    case 'patch':
      return [
        reveal,
        [l10n.t('Open Heatmap'), async () => showHeatmap(services, job.model)],
        ...(job.request.format === 'safetensors' ? [evaluateBoth] : []),
      ];
    case 'score-text':
      return [
        [l10n.t('Use for Calibration'), () => useForCalibration(path)],
        [l10n.t('Open'), async () => openResult(services, job)],
      ];
    case 'report':
      return [[l10n.t('Open'), async () => openReport(folder)], reveal];
    case 'export-data':
    case 'select-data':
    case 'convert-scores':
      return [reveal];
    default:
      return [[l10n.t('Show'), async () => openResult(services, job)]];
  }
}

/** A page in the browser, Markdown as it reads. */
async function openReport(file: Uri): Promise<void> {
  if (extname(file.path) === '.md') await commands.executeCommand('markdown.showPreview', file);
  else await env.openExternal(file);
}

async function showHeatmap(services: Services, model: string): Promise<void> {
  services.heatmaps.show(await services.sessions.open(model));
}

async function showCompression(services: Services, model: string, file?: string): Promise<void> {
  services.compressions.show(await services.compressionSessions.open(model, file));
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
