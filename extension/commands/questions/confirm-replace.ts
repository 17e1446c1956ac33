import { basename } from 'node:path';
import { l10n, window } from 'vscode';
import { steps } from './steps';

/**
 * Asks before something is replaced.
 * @param action label of the button
 * @param detail explains what happens to the existing file
 */
export async function confirmReplace(
  path: string,
  action: string,
  detail?: string,
): Promise<boolean> {
  const chosen = await steps().once(async () =>
    window.showWarningMessage(
      l10n.t('{0} exists. Replace it?', basename(path)),
      detail === undefined ? { modal: true } : { modal: true, detail },
      action,
    ),
  );
  return chosen === action;
}

/** Asks before a job that replaces its earlier result when it finishes. */
export const confirmAnew = async (path: string, action: string): Promise<boolean> =>
  confirmReplace(path, action, l10n.t('It remains unchanged until the new one is complete.'));
