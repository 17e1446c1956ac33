import { l10n, window } from 'vscode';
import { jobTitle } from '../services/jobs';
import type { JobRunner, RunningJob } from '../services/jobs';
import type { Services } from '../services/services';

/** A job and where it runs. */
export interface ChosenJob {
  readonly job: RunningJob;
  readonly runner: JobRunner;
}

/** The job of a kind, else the only one that runs, else the one that the user picks. */
export async function chooseJob(
  { jobs, exports }: Services,
  kind: unknown,
): Promise<ChosenJob | undefined> {
  const running = [jobs, exports].flatMap((runner) =>
    runner.current === undefined ? [] : [{ runner, job: runner.current }],
  );
  const named = running.find(({ job }) => job.kind === kind);
  if (named !== undefined) {
    return named;
  }
  if (running.length === 0) {
    void window.showInformationMessage(l10n.t('No Espalier job is running.'));
  }
  if (running.length <= 1) {
    return running[0];
  }
  const items = running.map((one) => ({ label: jobTitle(one.job), one }));
  const picked = await window.showQuickPick(items, { title: l10n.t('Which job?') });
  return picked?.one;
}
