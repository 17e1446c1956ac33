import { CancellationTokenSource, l10n, ProgressLocation, window } from 'vscode';
import { formatDuration } from '../../core/format';
import { profileRequest } from '../../services/jobs/model-requests';
import type { ProfileEffort } from '../../services/jobs/model-requests';
import type { Services } from '../../services/services';
import type { ModelSession } from '../../services/sessions/model-session';
import { choose } from './ask';
import { steps } from './steps';

/** Below this estimate in seconds, the user isn't asked. */
const worthAsking = 60;
/** After this long the short run is stopped, and nobody is asked. */
const mostMilliseconds = 5000;

/**
 * Asks how thoroughly to profile, with the estimated times of both choices, if profiling takes long.
 * @returns undefined if the question was closed
 */
export async function chooseEffort(
  services: Services,
  session: ModelSession,
): Promise<ProfileEffort | undefined> {
  const times = await steps().once(async () =>
    window.withProgress(
      { location: ProgressLocation.Window, title: l10n.t('Timing a short run') },
      async () => estimateTimes(services, session),
    ),
  );
  if (times === undefined) {
    return 'standard';
  }
  const row = (effort: ProfileEffort, label: string, seconds: number | null, detail: string) => ({
    effort,
    label,
    detail,
    ...(seconds === null ? {} : { description: l10n.t('about {0}', formatDuration(seconds)) }),
  });
  const chosen = await choose(
    [
      row(
        'quick',
        l10n.t('Quick Look'),
        times.quick,
        l10n.t(
          'Measures each sublayer once, on little text. Shows the most and least important ones.',
        ),
      ),
      row(
        'standard',
        l10n.t('Standard'),
        times.standard,
        l10n.t('The search with your settings: the order of removal, and its confidence.'),
      ),
    ],
    { title: l10n.t('How thoroughly?') },
  );
  return chosen?.effort;
}

/** @returns seconds of both; undefined if the standard profile is short, or no estimate exists */
async function estimateTimes(
  { worker, settings, jobs }: Services,
  session: ModelSession,
): Promise<Readonly<Record<ProfileEffort, number | null>> | undefined> {
  // Times measured while other jobs run would be wrong.
  if (jobs.running.length > 0) {
    return undefined;
  }
  const source = new CancellationTokenSource();
  const timer = setTimeout(() => {
    source.cancel();
  }, mostMilliseconds);
  const estimateSeconds = async (effort: ProfileEffort): Promise<number | null> => {
    const request = profileRequest(settings, session, effort);
    const { token } = source;
    return worker.request('expect', { operation: 'profile', request }, { token }).catch(() => null);
  };
  try {
    const standard = await estimateSeconds('standard');
    return standard === null || standard < worthAsking
      ? undefined
      : { standard, quick: await estimateSeconds('quick') };
  } finally {
    clearTimeout(timer);
    source.dispose();
  }
}
