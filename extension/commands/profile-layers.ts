import { basename } from 'node:path';
import { l10n, window } from 'vscode';
import { fileExists } from '../services/documents';
import type { Services } from '../services/services';
import { chooseSession } from './open-heatmap';

/** How a command that would ask can be told beforehand. */
export interface ProfileOptions {
  /** Replace an existing profile without asking. */
  readonly overwrite?: boolean;
}

/** Measures what each sublayer is worth; the heatmap fills in meanwhile. */
export async function profileLayers(
  services: Services,
  argument: unknown,
  options: ProfileOptions = {},
): Promise<void> {
  const session = await chooseSession(services, argument);
  if (session === undefined) {
    return;
  }
  services.heatmaps.show(session);
  const replaces = await fileExists(session.profilePath);
  if (replaces && options.overwrite !== true && !(await confirmReplace(session.profilePath))) {
    return;
  }
  await services.modelJobs.profile(session, false);
}

async function confirmReplace(path: string): Promise<boolean> {
  const replace = l10n.t('Profile Again');
  const chosen = await window.showWarningMessage(
    l10n.t('{0} exists. Replace it?', basename(path)),
    { modal: true, detail: l10n.t('It stays as it is until the new search has ended.') },
    replace,
  );
  return chosen === replace;
}
