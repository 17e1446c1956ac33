import { l10n, window } from 'vscode';
import { jobTitle } from '../services/jobs';
import type { JobKind } from '../services/jobs';
import type { Services } from '../services/services';
import { chooseJob } from './choose-job';

/** Jobs of which a heatmap tells, or which work for one. */
const ofModel: readonly JobKind[] = ['profile', 'prune', 'evaluate', 'patch', 'scoreText'];

/** Jobs of which a compression panel tells. */
const ofCompression: readonly JobKind[] = ['sensitivity', 'planBudget', 'compress'];

/** What the status bar item offers while a job runs. */
export async function showJob(services: Services, kind: unknown): Promise<void> {
  const shown = await chooseJob(services, kind);
  if (shown === undefined) {
    return;
  }
  const { job, runner } = shown;
  const heatmap = { label: `$(graph) ${l10n.t('Open Layer Heatmap')}` };
  const compression = { label: `$(graph) ${l10n.t('Open Compression Panel')}` };
  const evolution = { label: `$(type-hierarchy) ${l10n.t('Open Evolution')}` };
  const cancel = { label: `$(debug-stop) ${l10n.t('Cancel')}` };
  const log = { label: `$(output) ${l10n.t('Show Log')}` };
  const items = [
    ...(ofModel.includes(job.kind) ? [heatmap] : []),
    ...(ofCompression.includes(job.kind) ? [compression] : []),
    ...(job.kind === 'synthesize' ? [evolution] : []),
    cancel,
    log,
  ];
  const chosen = await window.showQuickPick(items, { title: jobTitle(job) });
  if (chosen === heatmap) {
    services.heatmaps.show(await services.sessions.open(job.model));
  } else if (chosen === compression) {
    services.compressions.show(await services.compressionSessions.open(job.model));
  } else if (chosen === evolution) {
    services.syntheses.show(services.synthesisSessions.get(job.model));
  } else if (chosen === cancel) {
    runner.cancel();
  } else if (chosen === log) {
    services.log.show();
  }
}
