import { l10n, window } from 'vscode';
import { jobTitle } from '../services/jobs';
import type { Services } from '../services/services';

/** What the status bar item offers while a job runs. */
export async function showJob(services: Services): Promise<void> {
  const job = services.jobs.current;
  if (job === undefined) {
    void window.showInformationMessage(l10n.t('No Espalier job is running.'));
    return;
  }
  const heatmap = { label: `$(graph) ${l10n.t('Open Layer Heatmap')}` };
  const cancel = { label: `$(debug-stop) ${l10n.t('Cancel')}` };
  const log = { label: `$(output) ${l10n.t('Show Log')}` };
  const chosen = await window.showQuickPick([heatmap, cancel, log], { title: jobTitle(job) });
  if (chosen === heatmap) {
    services.heatmaps.show(await services.sessions.open(job.model));
  } else if (chosen === cancel) {
    services.jobs.cancel();
  } else if (chosen === log) {
    services.log.show();
  }
}
