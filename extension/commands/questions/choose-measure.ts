import { basename, dirname } from 'node:path';
import { l10n, Uri } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { readManifest } from '../../core/pipelines/manifest-file';
import type { ModelSummary } from '../../core/models/model-summary';
import type { Services } from '../../services/services';
import { findSource } from '../source-model';
import { pickModel } from '../target';
import { askPath, choose } from './ask';
import { askNumber } from './ask-scoring';

/**
 * Measure of a model's quality: held-out text, alone or compared with another model, or a task with few-shot examples.
 */
export type Measure = 'text' | 'compared-text' | { readonly task: string; readonly shots: number };

/** Asks for text or a task; undefined when the user breaks off. */
export async function chooseMeasure(title: string, near: string): Promise<Measure | undefined> {
  const text: QuickPickItem = {
    label: l10n.t('Text'),
    detail: l10n.t('Perplexity and speed on held-out text.'),
  };
  const compared: QuickPickItem = {
    label: l10n.t('Text, compared…'),
    detail: l10n.t('Perplexity of both models, and KL divergence of their predictions.'),
  };
  const task: QuickPickItem = {
    label: l10n.t('Task…'),
    detail: l10n.t('Accuracy on questions with right answers, a JSONL file.'),
  };
  const items = [text, compared, task];
  const chosen = await choose(items, { title, placeHolder: l10n.t('Text or task?') });
  if (chosen === undefined || chosen === text) {
    return chosen && 'text';
  }
  if (chosen === compared) {
    return 'compared-text';
  }
  const file = await chooseTask(near, l10n.t('Choose'));
  const shots =
    file === undefined
      ? undefined
      : await askNumber(title, l10n.t('Few-shot examples before each question'), '0', 0);
  return file === undefined || shots === undefined ? undefined : { task: file, shots };
}

/** Asks for the file of a task. */
export async function chooseTask(near: string, openLabel: string): Promise<string | undefined> {
  const file = await askPath({
    title: l10n.t('Task: a JSONL file of questions with right answers'),
    openLabel,
    filters: { JSONL: ['jsonl'] },
    defaultUri: Uri.file(dirname(near)),
  });
  return file?.fsPath;
}

/**
 * Asks for a model to compare with; undefined if the user cancels.
 * @param isOptional true if "none" can be selected
 */
export async function chooseOther(
  services: Services,
  title: string,
  model: ModelSummary,
  isOptional: boolean,
): Promise<{ readonly against?: string } | undefined> {
  const manifest = await readManifest(model.path);
  const source = manifest && (await findSource(services, model, manifest));
  const none: QuickPickItem = { label: l10n.t('No other model') };
  const other: QuickPickItem = { label: l10n.t('Another model…') };
  const original: QuickPickItem | undefined =
    source === undefined
      ? undefined
      : { label: basename(source), description: l10n.t('the original') };
  const items = [
    ...(original === undefined ? [] : [original]),
    ...(isOptional ? [none] : []),
    other,
  ];
  const chosen =
    items.length === 1
      ? other
      : await choose(items, { title, placeHolder: l10n.t('Compare with which model?') });
  switch (chosen) {
    case undefined:
      return undefined;
    case none:
      return {};
    case other: {
      const picked = await pickModel(services, title, [model.path]);
      return picked && { against: picked.fsPath };
    }
    default:
      return source === undefined ? {} : { against: source };
  }
}
