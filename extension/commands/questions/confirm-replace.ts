import { basename } from 'node:path';
import { l10n, window } from 'vscode';
import { steps } from './steps';

/**
 * Asks before something that exists is replaced.
 * @param action what the button says
 * @param detail what becomes of the old one
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
