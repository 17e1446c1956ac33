import { say } from '../core/message';
import { UserError } from '../core/user-error';
import type { ModelSession } from '../services/sessions/model-session';
import { isWhole } from '../services/sessions/selection';
import type { CommandName } from '../services/command-ids';
import type { Services } from '../services/services';
import { chooseTarget } from './target';
import type { Target } from './target';

/** Opens the layer heatmap next to the editor; a plan becomes its selection. */
export async function openHeatmap(services: Services, argument: unknown): Promise<void> {
  const session = await chooseSession(services, argument, 'openHeatmap');
  if (session !== undefined) {
    services.heatmaps.show(session);
  }
}

/** The session that a command's argument means; undefined when the user picks none. */
export async function chooseSession(
  services: Services,
  argument: unknown,
  command: CommandName,
): Promise<ModelSession | undefined> {
  const target = await chooseTarget(argument, services, command);
  return target === undefined ? undefined : openSession(services, target);
}

/** @throws UserError if nothing is marked in a heatmap, and no widths are pruned */
export function requireSelection({ model, choice }: ModelSession): void {
  if (isWhole(choice)) {
    throw new UserError(
      'no-sublayer-selected',
      say`No sublayer of ${model.name} is marked for removal.`,
      { remedy: say`Mark some in the heatmap, or move its slider.` },
    );
  }
}

/** Id of the right-clicked sublayer in a heatmap, from its webview's context. */
export function clickedSublayer(argument: unknown): string | undefined {
  const id: unknown =
    typeof argument === 'object' && argument !== null && Reflect.get(argument, 'sublayer');
  return typeof id === 'string' ? id : undefined;
}

/** The session of a target, with the plan selected if it is one. */
export async function openSession(services: Services, target: Target): Promise<ModelSession> {
  if (target.session !== undefined) {
    return target.session;
  }
  if (target.profile !== undefined) {
    return services.sessions.openProfile(target.profile);
  }
  const session = await services.sessions.open(target.model);
  if (target.plan !== undefined) {
    await session.choosePlan(await services.documents.read('plan', target.plan), target.plan);
  }
  return session;
}
