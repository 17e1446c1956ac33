import { commands, l10n, window } from 'vscode';
import type { Disposable } from 'vscode';
import { commandIds } from '../services/command-ids';
import type { Outcome } from '../core/operations/presentation';
import type { JobRecord } from '../services/jobs/job-record';
import { offer } from '../services/offer';
import type { Services } from '../services/services';
import { noticeAction } from './next-steps';

/** Users rarely keep watching a job that takes longer than this. */
const longMilliseconds = 20_000;

/** Notifies of finished jobs if they have next steps, or if no panel showed the end. */
export function showJobNotices(services: Services): Pick<Disposable, 'dispose'> {
  void tellInterrupted(services);
  return services.jobs.ended.listen(({ job, outcome }) => {
    if (outcome !== undefined && needsNotice(services, job, outcome)) {
      const action = noticeAction(services, job);
      // A device that was asked for and does not work, for example.
      const [warning] = job.warnings;
      const message = [`${job.title}: ${job.result ?? ''}`, warning ?? ''].join(' ').trim();
      const isGood = outcome.isWarning !== true && warning === undefined;
      void offer(message, action === undefined ? [] : [action], isGood ? 'information' : 'warning');
    }
  });
}

function needsNotice(services: Services, job: JobRecord, { shown = false }: Outcome): boolean {
  const { started = 0, ended = 0 } = job;
  return !shown || (!isSeen(services, job) && ended - started > longMilliseconds);
}

/** True if a visible panel shows the end of the job. */
export const isSeen = ({ jobs }: Services, job: JobRecord): boolean =>
  window.state.focused && jobs.isShown(job);

/** After the window was closed on jobs: what only the Jobs view tells otherwise. */
async function tellInterrupted({ jobs }: Services): Promise<void> {
  const interrupted = jobs.resumable.filter(
    ({ cause, ended }) => cause === 'closed' && ended === jobs.opened,
  );
  const [job] = interrupted;
  if (job === undefined) {
    return;
  }
  const run =
    (command: string, ...args: readonly unknown[]) =>
    (): Thenable<unknown> =>
      commands.executeCommand(command, ...args);
  if (interrupted.length > 1) {
    const message = l10n.t('{0} jobs were interrupted when the window closed.', interrupted.length);
    await offer(message, [[l10n.t('Resume…'), run(commandIds.resumeJob)]]);
    return;
  }
  await offer(`${job.title}: ${job.message ?? ''} ${job.saved ?? ''}`, [
    [l10n.t('Resume'), run(commandIds.resumeJob, job.id)],
    [l10n.t('Discard…'), run(commandIds.discardJob, job.id)],
  ]);
}
