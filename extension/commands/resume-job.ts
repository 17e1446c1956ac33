import { l10n, window, workspace } from 'vscode';
import { hasWork } from '../services/jobs/saved-work';
import { isOver } from '../services/jobs/job-record';
import type { JobRecord } from '../services/jobs/job-record';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';
import { chooseJob } from './questions/choose-job';

/** Resumes a job with saved work. */
export async function resumeJob(services: Services, argument: unknown): Promise<unknown> {
  const job = await chooseJob(services, argument, services.jobs.resumable, {
    title: l10n.t('Resume which job?'),
    none: l10n.t('There is no job to resume.'),
  });
  if (job === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  return services.jobs.resume(job.id);
}

/** Answers given in advance to the questions of the command. */
export interface DiscardOptions {
  readonly confirmed?: boolean;
}

/** Deletes a job's saved work and removes the job from the history. */
export async function discardJob(
  services: Services,
  argument: unknown,
  { confirmed = false }: DiscardOptions = {},
): Promise<void> {
  const { jobs } = services;
  const job = await chooseJob(services, argument, jobs.jobs.filter(isDiscardable), {
    title: l10n.t('Discard which job?'),
    none: l10n.t('No job has saved progress.'),
  });
  if (job !== undefined && (confirmed || (await confirm(job)))) {
    await jobs.discard(job.id);
  }
}

const isDiscardable = (job: JobRecord): boolean =>
  isOver(job) && job.state !== 'done' && (job.saved !== undefined || hasWork(job));

async function confirm({ title, saved }: JobRecord): Promise<boolean> {
  const discard = l10n.t('Discard');
  const chosen = await window.showWarningMessage(
    l10n.t('Discard "{0}"?', title),
    { modal: true, detail: l10n.t('{0} Discarding deletes it.', saved ?? '').trim() },
    discard,
  );
  return chosen === discard;
}
