import { commands, l10n } from 'vscode';
import { commandIds } from '../services/command-ids';
import { jobTitle } from '../services/jobs';
import type { RunningJob } from '../services/jobs';
import { offer } from '../services/offer';

/** After a job was cancelled that no panel offers to resume. */
export async function offerResume(
  job: Pick<RunningJob, 'kind' | 'name'>,
  out: string,
): Promise<void> {
  const resume = () => commands.executeCommand(commandIds.resumeJob, undefined, { out });
  await offer(l10n.t('{0} was cancelled. What is done is kept.', jobTitle(job)), [
    [l10n.t('Resume'), resume],
  ]);
}
