import type { Services } from '../services/services';
import { chooseSession } from './open-heatmap';

/** Goes on with an interrupted search: what its journal holds is not computed again. */
export async function resumeProfile(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument);
  if (session !== undefined) {
    services.heatmaps.show(session);
    await services.modelJobs.profile(session, true);
  }
}
