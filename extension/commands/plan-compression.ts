import { UserError } from '../core/user-error';
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
  const { budget, ways = [], removes = false, outer = false } = choice;
  if (budget === undefined || ways.length === 0) {
    throw new UserError(say`A plan needs a budget and at least one method.`, {
      remedy: say`Choose them in the compression panel.`,
    });
  }
  return services.compressionJobs.plan(session, { budget, ways, removes, outer });
}
