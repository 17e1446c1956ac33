import { UserError } from '../core/user-error';
import { runFor } from '../services/jobs/model-requests';
import type { BudgetChoice, MadePlan } from '../protocol/compression';
import type { Services } from '../services/services';
import { chooseCompression } from './open-compression';
import { say } from '../core/message';

/** Plans what becomes of every layer under a budget, as the panel's form asks. */
export async function planCompression(
  services: Services,
  argument: unknown,
  choice: Partial<BudgetChoice> = {},
): Promise<MadePlan | undefined> {
  const session = await chooseCompression(services, argument, 'planCompression');
  if (session === undefined) {
    return undefined;
  }
  const { limits = [], context } = choice;
  const { ways = [], removes = false, narrows = false, outer = false } = choice;
  if (limits.length === 0 || (ways.length === 0 && !removes && !narrows)) {
    throw new UserError(say`A plan needs a limit and something that it may change.`, {
      remedy: say`Choose them in the compression panel.`,
    });
  }
  const request = services.plans.request(session, {
    ...{ limits, context, ways, removes, narrows, outer },
  });
  await runFor(services.jobs, session, 'plan-compression', request);
  return session.plan;
}
