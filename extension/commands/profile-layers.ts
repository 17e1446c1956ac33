import { l10n } from 'vscode';
import { fileExists } from '../services/documents/documents';
import { profileRequest, runFor } from '../services/jobs/model-requests';
import type { ProfileEffort } from '../services/jobs/model-requests';
import type { Services } from '../services/services';
import { chooseEffort } from './questions/choose-effort';
import { assertAllowed } from '../services/trust';
import { confirmAnew } from './questions/confirm-replace';
import { chooseSession } from './open-heatmap';

/** Answers given in advance to the questions of the command. */
export interface ProfileOptions {
  /** Replace an existing profile without asking. */
  readonly overwrite?: boolean;
  readonly effort?: ProfileEffort;
}

/** Measures how important each sublayer is; the heatmap fills in meanwhile. */
export async function profileLayers(
  services: Services,
  argument: unknown,
  options: ProfileOptions = {},
): Promise<void> {
  const session = await chooseSession(services, argument, 'profileLayers');
  if (session === undefined) {
    return;
  }
  services.heatmaps.show(session);
  assertAllowed(session.blocked);
  const replaces = await fileExists(session.profilePath);
  if (
    replaces &&
    options.overwrite !== true &&
    !(await confirmAnew(session.profilePath, l10n.t('Profile Again')))
  ) {
    return;
  }
  const effort = options.effort ?? (await chooseEffort(services, session));
  if (effort !== undefined) {
    const request = profileRequest(services.settings, session, effort);
    await runFor(services.jobs, session, 'profile', request);
  }
}
