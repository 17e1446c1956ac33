import { commands, l10n, window, workspace } from 'vscode';
import { UserError } from '../core/user-error';
import { commandIds } from '../services/command-ids';
import type { InterruptedJob, JobFilter } from '../services/interrupted-jobs';
import { jobTitle } from '../services/jobs';
import { offer } from '../services/offer';
import { reportError } from '../services/report-error';
import type { Services } from '../services/services';
import { assertAllowed, whyBlocked } from '../services/trust';
import { runCompression } from './compress-model';
import { runRepair } from './repair-model';
import { runPatch } from './patch-layer';
import { uriOf } from './target';

/** Goes on with a job that was cancelled or that its window was closed on: what is done is not done again. */
export async function resumeJob(
  services: Services,
  argument: unknown,
  filter: JobFilter = {},
): Promise<unknown> {
  const path = uriOf(argument)?.fsPath;
  const jobs = services.interrupted.find(path === undefined ? filter : { ...filter, model: path });
  if (jobs.length === 0) {
    throw new UserError(l10n.t('No job was interrupted: nothing to resume.'));
  }
  assertAllowed(whyBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  services.jobs.assertFree();
  const job = await choose(jobs);
  return job === undefined ? undefined : resume(services, job);
}

async function choose(jobs: readonly InterruptedJob[]): Promise<InterruptedJob | undefined> {
  if (jobs.length === 1) {
    return jobs[0];
  }
  const items = jobs.map((job) => ({ label: jobTitle(job), description: job.request.out, job }));
  const chosen = await window.showQuickPick(items, { title: l10n.t('Resume which job?') });
  return chosen?.job;
}

async function resume(services: Services, job: InterruptedJob): Promise<unknown> {
  switch (job.kind) {
    case 'compress': {
      const session = await services.compressionSessions.open(job.request.model);
      return runCompression(services, session, job.request);
    }
    case 'repair':
      return runRepair(services, job.name, job.request);
    case 'patch': {
      const session = await services.sessions.open(job.request.model);
      return runPatch(services, session, job.request);
    }
  }
}

/** After the window was closed on a job: what only a panel could tell of otherwise. */
export async function offerInterrupted({ interrupted, log }: Services): Promise<void> {
  for (const job of await interrupted.takeUntold()) {
    const { out } = job.request;
    const resume = () => commands.executeCommand(commandIds.resumeJob, undefined, { out });
    const forget = async (): Promise<void> =>
      interrupted.discard(job).catch(async (error: unknown) => reportError(error, log));
    await offer(
      l10n.t('{0}: the window was closed meanwhile. What is done is kept.', jobTitle(job)),
      [
        [l10n.t('Resume'), resume],
        [l10n.t('Forget'), forget],
      ],
    );
  }
}
