import { readManifest } from '../core/pipelines/manifest-file';
import { driftRequest, runFor } from '../services/jobs/model-requests';
import { isWhole } from '../services/sessions/selection';
import type { Services } from '../services/services';
import { chooseSession, requireSelection } from './open-heatmap';
import { chooseSource } from './source-model';

/**
 * Colors heatmap and diagram by the drift of the selection from the original. Without a selection, shows the drift of a
 * model that Espalier wrote from its source.
 */
export async function showDrift(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument, 'showDrift');
  if (session === undefined) {
    return;
  }
  const isInDiagram = services.explorers.active?.model?.path === session.model.path;
  const manifest = await readManifest(session.model.path);
  const looksAtWhole = isWhole(session.choice) && manifest !== undefined;
  if (!looksAtWhole) {
    requireSelection(session);
  }
  const original = looksAtWhole ? await chooseSource(services, session.model, manifest) : undefined;
  if (looksAtWhole && original === undefined) {
    return;
  }
  if (!isInDiagram) {
    services.heatmaps.show(session);
  }
  const request = driftRequest(services.settings, session, original);
  await runFor(services.jobs, session, 'drift', request);
}
