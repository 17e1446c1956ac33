import { tellDone } from '../services/activation/steps-done';
import type { ExplorerSession } from '../services/sessions/explorer-session';
import type { Services } from '../services/services';
import { chooseTarget } from './target';

/** Shows the structure of a model. */
export async function inspectModel(
  services: Services,
  argument: unknown,
): Promise<ExplorerSession | undefined> {
  const target = await chooseTarget(argument, services, 'inspectModel');
  if (target === undefined) {
    return undefined;
  }
  const session = await services.explorers.show(target.model);
  tellDone('inspectModel');
  return session;
}
