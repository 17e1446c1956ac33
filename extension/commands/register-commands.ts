import { commands, Disposable } from 'vscode';
import { commandIds } from '../services/command-ids';
import type { CommandName } from '../services/command-ids';
import { reportError } from '../services/report-error';
import type { Services } from '../services/services';
import { isSeen } from './job-notices';
import * as functions from './handlers';

/** Takes the services, the argument of the menu or link, and answers given beforehand. */
type Handler = (services: Services, argument: unknown, options?: object) => unknown;

const handlers: Readonly<Record<CommandName, Handler>> = functions;

/**
 * Registers every command, whatever the circumstances: one that cannot run says why. Explorer menus
 * give the clicked resources as a second argument, which is no option of ours.
 */
export function registerCommands(services: Services): Disposable {
  return Disposable.from(
    ...(Object.keys(handlers) as CommandName[]).map((name) =>
      commands.registerCommand(
        commandIds[name],
        async (argument?: unknown, second?: unknown): Promise<unknown> => {
          const options =
            typeof second === 'object' && second !== null && !Array.isArray(second) ? second : {};
          try {
            return await handlers[name](services, argument, options);
          } catch (error) {
            const job = services.jobs.failed(error);
            const failed = job && { job, isSeen: isSeen(services, job) };
            void reportError(error, services.log, failed);
            return undefined;
          }
        },
      ),
    ),
  );
}
