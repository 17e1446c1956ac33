import type { Services } from '../services/services';
import { chooseJob } from './choose-job';

/** Stops a running job within a second; a panel or link says of which kind. */
export async function cancelJob(services: Services, kind: unknown): Promise<void> {
  const chosen = await chooseJob(services, kind);
  chosen?.runner.cancel();
}
