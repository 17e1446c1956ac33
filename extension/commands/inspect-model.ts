import type { Uri } from 'vscode';
import type { Services } from '../services/services';
import { chooseTarget } from './target';

/** Shows what a model consists of: a read-only document. */
export async function inspectModel(
  services: Services,
  argument: unknown,
): Promise<Uri | undefined> {
  const target = await chooseTarget(argument, services);
  if (target === undefined) {
    return undefined;
  }
  const model = await services.models.summary(target.model);
  return services.reports.showStructure(model.name, model.path);
}
