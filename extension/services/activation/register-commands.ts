import { commands, Disposable } from 'vscode';
import { commandIds } from '../command-ids';
import type { CommandName } from '../command-ids';
import type { Host } from './host';

/** Explorer menus give the clicked resources as a second argument, which is no option of ours. */
export function registerCommands(load: () => Promise<Pick<Host, 'runCommand'>>): Disposable {
  return Disposable.from(
    ...(Object.keys(commandIds) as CommandName[]).map((name) =>
      commands.registerCommand(
        commandIds[name],
        async (argument?: unknown, second?: unknown): Promise<unknown> => {
          const options =
            typeof second === 'object' && second !== null && !Array.isArray(second) ? second : {};
          return (await load()).runCommand(name, argument, options);
        },
      ),
    ),
  );
}
