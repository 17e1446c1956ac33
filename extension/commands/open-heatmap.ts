import { say } from '../core/message';
import type { Plan } from '../core/plans/plan';
import { UserError } from '../core/user-error';
import type { ModelSession } from '../services/sessions/model-session';
import type { CommandName } from '../services/command-ids';
import type { Services } from '../services/services';
import { chooseTarget } from './target';
import type { Target } from './target';

/** Opens the layer heatmap beside the editor; a plan becomes its selection. */
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
  if (target === undefined) {
    return undefined;
  }
  const plan = command === 'profileLayers' ? undefined : await requireRemovals(services, target);
  return sessionOf(services, target, plan);
}

/**
 * The plan of a target, if it is one.
 * @throws UserError for a plan that narrows: a selection would show only a part of it.
 */
export async function requireRemovals(
  { documents }: Services,
  { plan }: Pick<Target, 'plan'>,
): Promise<Plan | undefined> {
  const read = plan === undefined ? undefined : await documents.read('plan', plan);
  if (plan !== undefined && (read?.narrow ?? []).length > 0) {
    throw new UserError(
      say`The heatmap shows what is removed, but this plan narrows sublayers too.`,
      {
        file: plan,
        field: 'narrow',
        remedy: say`Apply the plan, or run \`espalier evaluate --plan\`.`,
      },
    );
  }
  return read;
}

/** @throws UserError where nothing is marked in a heatmap. */
export function requireSelection({ model, selection }: ModelSession): void {
  if (selection.removed.length === 0) {
    throw new UserError(say`No sublayer of ${model.name} is marked for removal.`, {
      remedy: say`Mark some in the heatmap, or move its slider.`,
    });
  }
}

/**
 * The session of a target, the plan chosen where it is one.
 * @param plan where it has been read already
 */
export async function sessionOf(
  services: Services,
  target: Target,
  plan?: Plan,
): Promise<ModelSession> {
  if (target.session !== undefined) {
    return target.session;
  }
  if (target.profile !== undefined) {
    return services.sessions.openProfile(target.profile);
  }
  const session = await services.sessions.open(target.model);
  if (target.plan !== undefined) {
    const chosen = plan ?? (await services.documents.read('plan', target.plan));
    session.choosePlan(chosen, target.plan);
  }
  return session;
}
