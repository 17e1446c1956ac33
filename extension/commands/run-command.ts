import type { CommandName } from '../services/command-ids';
import { reportError } from '../services/report-error';
import type { Services } from '../services/services';
import * as functions from './handlers';
import { isSeen } from './job-notices';
import { inSteps } from './questions/steps';

/** Command handler; receives the services, the argument of the menu or link, and predefined answers. */
type Handler = (services: Services, argument: unknown, options?: object) => unknown;

const handlers: Readonly<Record<CommandName, Handler>> = functions;

/** Runs a command. If it cannot run, shows the reason. */
export async function runCommand(
  services: Services,
  name: CommandName,
  argument: unknown,
  options: object,
): Promise<unknown> {
  try {
    return await inSteps(() => handlers[name](services, argument, options));
  } catch (error) {
    const job = services.jobs.failed(error);
    const failed = job && { job, isSeen: isSeen(services, job) };
    void reportError(error, services.log, failed);
    return undefined;
  }
}
