import type { Services } from '../services/services';
import { chooseSession, requireSelection } from './open-heatmap';

/** Colours a heatmap by how far its selection drifts from the original. */
export async function showDrift(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument, 'showDrift');
  if (session === undefined) {
    return;
  }
  requireSelection(session);
  services.heatmaps.show(session);
  await services.modelJobs.drift(session);
}
