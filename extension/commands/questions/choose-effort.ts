import { l10n, ProgressLocation, window } from 'vscode';
import { formatDuration } from '../../core/format';
import type { ProfileEffort } from '../../services/jobs/model-jobs';
import type { Services } from '../../services/services';
import type { ModelSession } from '../../services/sessions/model-session';
import { choose } from './ask';

/** A profile that takes less is not worth a question. */
const worthAsking = 60;
/** After this long the question comes without times: the worker may have a job. */
const mostMilliseconds = 5000;

/**
 * Asks how thoroughly to profile, with the times of both, where it takes long.
 * @returns undefined where the question was closed
 */
export async function chooseEffort(
  services: Services,
  session: ModelSession,
): Promise<ProfileEffort | undefined> {
  const { standard, quick } = await window.withProgress(
    { location: ProgressLocation.Window, title: l10n.t('Timing a short run') },
    async () => timesOf(services, session),
  );
  if (standard === undefined || standard < worthAsking) {
    return 'standard';
  }
  const row = (
    effort: ProfileEffort,
    label: string,
    seconds: number | undefined,
    detail: string,
  ) => ({
    effort,
    label,
    detail,
    ...(seconds === undefined ? {} : { description: l10n.t('about {0}', formatDuration(seconds)) }),
  });
  const chosen = await choose(
    [
      row(
        'quick',
        l10n.t('Quick Look'),
        quick,
        l10n.t('Each sublayer once, on little text: shows which ones stand out.'),
      ),
      row(
        'standard',
        l10n.t('Standard'),
        standard,
        l10n.t('The search of your settings: the order to remove in, and how sure it is.'),
      ),
    ],
    { title: l10n.t('How thoroughly?') },
  );
  return chosen?.effort;
}

async function timesOf(
  { worker, modelJobs }: Services,
  session: ModelSession,
): Promise<Partial<Record<ProfileEffort, number>>> {
  const late = new Promise<null>((resolve) => {
    setTimeout(resolve, mostMilliseconds, null);
  });
  const times: Partial<Record<ProfileEffort, number>> = {};
  for (const effort of ['standard', 'quick'] as const) {
    const request = modelJobs.profileRequest(session, effort);
    const asked = worker.request('expect', { operation: 'profile', request }).catch(() => null);
    const seconds = await Promise.race([asked, late]);
    if (seconds !== null) {
      times[effort] = seconds;
    }
  }
  return times;
}
