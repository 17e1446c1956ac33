import type { Services } from '../services/services';
import { chooseSession, requireSelection } from './open-heatmap';

/** Colours a heatmap by where its selection goes another way than the original. */
export async function showDrift(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument, 'showDrift');
  if (session === undefined) {
    return;
  }
  requireSelection(session);
  services.heatmaps.show(session);
  await services.modelJobs.drift(session);
}
