import { commands, l10n, window } from 'vscode';
import { commandIds } from '../services/command-ids';
import { jobTitle } from '../services/jobs';
import type { RunningJob } from '../services/jobs';

/** After a job was cancelled that no panel offers to resume. */
export async function offerResume(
  job: Pick<RunningJob, 'kind' | 'name'>,
  out: string,
): Promise<void> {
  const resume = l10n.t('Resume');
  const chosen = await window.showInformationMessage(
    l10n.t('{0} was cancelled. What is done is kept.', jobTitle(job)),
    resume,
  );
  if (chosen === resume) {
    await commands.executeCommand(commandIds.resumeJob, undefined, { out });
  }
}
