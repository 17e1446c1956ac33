import { basename } from 'node:path';
import { ConfigurationTarget, l10n, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { TextScores } from '../core/data/text-scores';
import { scoreText as operation, textScoresPath } from '../core/operations/score-text';
import { fileExists } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';
import { confirmAnew } from './questions/confirm-replace';
import { chooseTarget } from './target';
import { askPath, choose } from './questions/ask';

/** Answers given in advance to the questions of the command. */
export interface ScoreTextOptions {
  /** Path of a text, or `bundled`. */
  readonly text?: string;
  readonly out?: string;
  /** Replace existing scores without asking. */
  readonly overwrite?: boolean;
}

/** Value for the text that is bundled with the extension. */
export const bundled = 'bundled';

/** Scores how hard each window of a text is for a model, so that calibration can choose among them. */
export async function scoreText(
  services: Services,
  argument: unknown,
  given: ScoreTextOptions = {},
): Promise<TextScores | undefined> {
  const target = await chooseTarget(argument, services, 'scoreText', 1);
  if (target === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  await services.models.require(target.model, 'evaluate');
  const model = await services.models.summary(target.model);
  const file = services.settings.calibrationFile();
  const chosen =
    given.text ?? (await chooseText(l10n.t('Score a calibration text for {0}', model.name), file));
  if (chosen === undefined) {
    return undefined;
  }
  const text = chosen === bundled ? undefined : chosen;
  const out = given.out ?? (await textScoresPath(model.path, text));
  const replaces = await fileExists(out);
  if (replaces && given.overwrite !== true && !(await confirmAnew(out, l10n.t('Score Again')))) {
    return undefined;
  }
  const name = text === undefined ? model.name : basename(text);
  const request = services.settings.request(operation, {
    ...{ model: model.path, out },
    ...(text === undefined ? {} : { text }),
  });
  return services.jobs.run({ operation: 'score-text', name, request });
}

/**
 * A text that the user picks, or `bundled`.
 * @param takesExamples also offers arrays, images and audio, for models that may read no text
 */
export async function chooseText(
  title: string,
  set: string | undefined,
  takesExamples = false,
  placeHolder = l10n.t('Which text?'),
): Promise<string | undefined> {
  const own: QuickPickItem = {
    label: l10n.t('The bundled text'),
    ...(takesExamples
      ? { description: l10n.t("random numbers if the model doesn't read text") }
      : {}),
  };
  const fromSetting: QuickPickItem | undefined =
    set === undefined
      ? undefined
      : { label: basename(set), description: l10n.t('the setting espalier.calibration.file') };
  const other: QuickPickItem = {
    label: l10n.t('Another text…'),
    description: '.txt, .md, .jsonl',
  };
  const arrays: QuickPickItem = {
    label: l10n.t('Examples of its inputs…'),
    description: '.npy, .npz',
  };
  const folder: QuickPickItem = {
    label: l10n.t('A folder of examples…'),
    description: l10n.t('images, .wav files or arrays'),
  };
  const items = [
    ...(fromSetting === undefined ? [] : [fromSetting]),
    ...[own, other],
    ...(takesExamples ? [arrays, folder] : []),
  ];
  const chosen = await choose(items, { title, placeHolder });
  switch (chosen) {
    case undefined:
      return undefined;
    case own:
      return bundled;
    case fromSetting:
      return set;
    default: {
      const filters =
        chosen === other
          ? { filters: { [l10n.t('Texts')]: ['txt', 'md', 'jsonl'] } }
          : chosen === arrays
            ? { filters: { [l10n.t('Arrays')]: ['npy', 'npz'] } }
            : { canSelectFiles: false, canSelectFolders: true };
      const uri = await askPath({ title, openLabel: l10n.t('Choose'), ...filters });
      return uri?.fsPath;
    }
  }
}

/** Sets espalier.calibration.scores, in the workspace if there is one. */
export async function useForCalibration(out: string): Promise<void> {
  const target =
    workspace.workspaceFolders === undefined
      ? ConfigurationTarget.Global
      : ConfigurationTarget.Workspace;
  await workspace.getConfiguration('espalier').update('calibration.scores', out, target);
}
