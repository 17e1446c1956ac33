import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { l10n, Uri } from 'vscode';
import type { NextStep } from '../../core/operations/presentation';
import type { StepSubject } from '../../protocol/report';
import { commandIds } from '../command-ids';
import { fileExists, defaultSensitivityPath } from '../documents/documents';
import { isModelFile } from '../documents/model-file';
import type { JobRecord } from './job-record';
import { getOperation } from './operations';

/** Button of a next step, and the command that it runs. */
export interface OfferedStep {
  readonly label: string;
  readonly title: string;
  readonly command: readonly [id: string, ...args: unknown[]];
}

/** Subject of the next steps of a job. */
export async function stepSubject({
  model,
  operation,
  request,
  outputs: [output = model],
}: Pick<JobRecord, 'model' | 'operation' | 'request' | 'outputs'>): Promise<StepSubject> {
  const { original } = getOperation(operation);
  const given: unknown = original === undefined ? undefined : Reflect.get(request, original);
  const sensitivity = defaultSensitivityPath(output);
  const runtime: unknown = Reflect.get(request, 'for');
  return {
    output,
    model: await modelIn(output),
    source: typeof given === 'string' ? given : model,
    ...((await fileExists(sensitivity)) ? { sensitivity } : {}),
    ...(typeof runtime === 'string' ? { runtime } : {}),
  };
}

/** The model in a folder that was written: the folder itself, or a file in it. */
async function modelIn(output: string): Promise<string> {
  const names = await readdir(output).catch((): string[] => []);
  const isFolder = names.some((name) => name.endsWith('.safetensors'));
  const file = isFolder ? undefined : names.find(isModelFile);
  return file === undefined ? output : join(output, file);
}

/** The button of a step. */
export function offerStep(step: NextStep, subject: StepSubject): OfferedStep {
  const { output, source, sensitivity, runtime } = subject;
  const [model, original] = [Uri.file(subject.model), Uri.file(source)];
  const against = source === subject.model ? {} : { against: source };
  // On text, which needs no further questions.
  const onText = { measure: 'text' };
  switch (step) {
    case 'playground':
      return {
        label: l10n.t('Try It'),
        title: l10n.t('Open it in the playground next to the original'),
        command: [commandIds.openPlayground, model, against],
      };
    case 'reveal':
      return {
        label: l10n.t('Reveal'),
        title: l10n.t('Show the files in the Explorer'),
        command: [commandIds.revealPath, Uri.file(output)],
      };
    case 'evenSmaller':
      return {
        label: l10n.t('Even Smaller…'),
        title: l10n.t('Make another size of the original'),
        command: [commandIds.makeSmaller, original, { runtime }],
      };
    case 'makeSmaller':
      return {
        label: l10n.t('Make Smaller…'),
        title: l10n.t('Choose where it will run and how small it should be'),
        command: [commandIds.makeSmaller, model],
      };
    case 'seeWhy':
      return sensitivity === undefined
        ? offerStep('compare', subject)
        : {
            label: l10n.t('See Why'),
            title: l10n.t('Show the size of each tensor in each type'),
            command: ['vscode.open', Uri.file(sensitivity)],
          };
    case 'compare':
      return {
        label: l10n.t('Compare'),
        title: l10n.t('Compare its tensors with those of the original'),
        command: [commandIds.compareModels, model, { against: source }],
      };
    case 'openHeatmap':
      return {
        label: l10n.t('Layer Heatmap'),
        title: l10n.t('See which layers can be removed'),
        command: [commandIds.openHeatmap, model],
      };
    case 'showHeatmap':
      return {
        label: l10n.t('Layer Heatmap'),
        title: l10n.t('Show the layers of the original'),
        command: [commandIds.openHeatmap, original],
      };
    case 'evaluate':
      return {
        label: l10n.t('Evaluate'),
        title: l10n.t('Measure perplexity on held-out text'),
        command: [commandIds.evaluateModel, model, onText],
      };
    case 'evaluateBoth':
      return {
        label: l10n.t('Evaluate Both'),
        title: l10n.t('Measure perplexity of it and of the original on held-out text'),
        command: [commandIds.evaluateModel, model, { ...onText, ...against }],
      };
    case 'repair':
      return {
        label: l10n.t('Repair…'),
        title: l10n.t('Train it to match the original (distillation)'),
        command: [commandIds.repairModel, model, { teacher: source }],
      };
    case 'inspect':
      return {
        label: l10n.t('Inspect'),
        title: l10n.t('Show its parts'),
        command: [commandIds.inspectModel, model],
      };
  }
}
