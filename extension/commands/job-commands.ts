import { env, l10n } from 'vscode';
import { toCommandLine } from '../services/jobs/command-line';
import { isOver, isResumable } from '../services/jobs/job-record';
import type { JobRecord } from '../services/jobs/job-record';
import { describeState } from '../services/jobs/job-texts';
import { getOperation } from '../services/jobs/operations';
import { fileExists } from '../services/documents/documents';
import { openJobLog } from '../services/reports/job-log';
import type { Services } from '../services/services';
import { chooseJob } from './questions/choose-job';
import { confirmAnew } from './questions/confirm-replace';
import { openResult } from './next-steps';
import { discardJob, resumeJob } from './resume-job';
import { choose } from './questions/ask';

/** Cancels a running job within a second, or removes a waiting one from the queue. */
export async function cancelJob(services: Services, argument: unknown): Promise<void> {
  const active = services.jobs.jobs.filter((job) => !isOver(job));
  const job = await chooseJob(services, argument, active, {
    title: l10n.t('Cancel which job?'),
    none: l10n.t('No Espalier job is running.'),
    takesSingle: true,
  });
  if (job !== undefined) {
    services.jobs.cancel(job.id);
  }
}

/** Shows the actions of a job, from the status bar or the Jobs view. */
export async function showJob(services: Services, argument: unknown): Promise<void> {
  const { jobs } = services;
  const job = await chooseJob(services, argument, jobs.jobs, {
    title: l10n.t('Which job?'),
    none: l10n.t('There are no jobs.'),
  });
  if (job === undefined) {
    return;
  }
  const items = jobActions(services, job).map(([label, run]) => ({ label, run }));
  const chosen = await choose(items, {
    title: job.title,
    placeHolder: describeState(job, jobs),
  });
  await chosen?.run();
}

function jobActions(services: Services, job: JobRecord): (readonly [string, () => unknown])[] {
  const log = [
    [`$(output) ${l10n.t('Show Log')}`, async () => openJobLog(services.reports, job)],
  ] as const;
  const open = [
    [`$(go-to-file) ${l10n.t('Open')}`, async () => openResult(services, job)],
  ] as const;
  if (!isOver(job)) {
    const cancel = (): void => {
      services.jobs.cancel(job.id);
    };
    return [...open, [`$(debug-stop) ${l10n.t('Cancel')}`, cancel], ...log];
  }
  return [
    ...(isResumable(job)
      ? [
          [`$(debug-continue) ${l10n.t('Resume')}`, async () => resumeJob(services, job)] as const,
          [`$(trash) ${l10n.t('Discard…')}`, async () => discardJob(services, job)] as const,
        ]
      : []),
    ...(job.state === 'done' ? open : []),
    [`$(refresh) ${l10n.t('Run Again')}`, async () => runJobAgain(services, job)],
    [`$(copy) ${l10n.t('Copy as Command Line')}`, async () => copyJobCommandLine(services, job)],
    ...log,
  ];
}

/** Shows what a job has written, or the panel that tells of it. */
export async function openJobResult(services: Services, argument: unknown): Promise<void> {
  const job = await chooseJob(services, argument, services.jobs.jobs, {
    title: l10n.t('Choose a job to show its result'),
    none: l10n.t('There are no jobs.'),
  });
  if (job !== undefined) {
    await openResult(services, job);
  }
}

/** Starts a new job with the same request as an earlier one. */
export async function runJobAgain(services: Services, argument: unknown): Promise<unknown> {
  const job = await chooseJob(services, argument, services.jobs.jobs.filter(isOver), {
    title: l10n.t('Run which job again?'),
    none: l10n.t('There are no jobs.'),
  });
  if (job === undefined) {
    return undefined;
  }
  const { operation, name, request } = job;
  const output = getOperation(operation).output?.(request);
  const replaces = output !== undefined && (await fileExists(output));
  if (replaces && !(await confirmAnew(output, l10n.t('Run Again')))) {
    return undefined;
  }
  const again = 'overwrite' in request ? { ...request, overwrite: replaces } : request;
  return services.jobs.run({ operation, name, request: again });
}

export async function copyJobCommandLine(services: Services, argument: unknown): Promise<void> {
  const job = await chooseJob(services, argument, services.jobs.jobs, {
    title: l10n.t('Copy which job as a command line?'),
    none: l10n.t('There are no jobs.'),
  });
  if (job !== undefined) {
    await env.clipboard.writeText(toCommandLine(job));
  }
}

export async function showJobLog(services: Services, argument: unknown): Promise<void> {
  const job = await chooseJob(services, argument, services.jobs.jobs, {
    title: l10n.t('Choose a job to show its log'),
    none: l10n.t('There are no jobs.'),
  });
  if (job !== undefined) {
    await openJobLog(services.reports, job);
  }
}

/** Removes a job from the history, with its saved work. */
export async function removeJob(services: Services, argument: unknown): Promise<void> {
  const over = services.jobs.jobs.filter((job) => isOver(job) && !isResumable(job));
  const job = await chooseJob(services, argument, over, {
    title: l10n.t('Remove which job?'),
    none: l10n.t('There are no jobs.'),
  });
  if (job !== undefined) {
    services.jobs.remove(job.id);
  }
}

/** Removes all finished jobs without saved work from the history. */
export function clearJobs({ jobs }: Services): void {
  for (const job of jobs.jobs.filter((one) => isOver(one) && !isResumable(one))) {
    jobs.remove(job.id);
  }
}

/** Shows the log of the extension. */
export function showLog(services: Services): void {
  services.log.show();
}
