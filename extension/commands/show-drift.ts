import { UserError } from '../core/user-error';
import { say } from '../core/message';
import type { Services } from '../services/services';
import { chooseSession } from './open-heatmap';

/** Colours a heatmap by where its selection goes another way than the original. */
export async function showDrift(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument, 'showDrift');
  if (session === undefined) {
    return;
  }
  if (session.selection.removed.length === 0) {
    throw new UserError(say`No sublayer of ${session.model.name} is marked for removal.`, {
      remedy: say`Mark some in the heatmap, or move its slider.`,
    });
  }
  services.heatmaps.show(session);
  await services.modelJobs.drift(session);
}
