import { parseArgs } from 'node:util';
import { Arguments, UsageError } from './command';
import type { Command, CommandContext } from './command';
import { dataDiet } from './commands/data-diet';
import { studyGroupsCommand } from './commands/study-groups';

/** Commands that are not operations yet. This folder goes when they are. */
export const legacyCommands: readonly Command[] = [
  dataDiet,
  studyGroupsCommand,
];

/** Runs one of them with what was typed after its name. */
export async function runLegacy(
  command: Command,
  args: readonly string[],
  context: CommandContext,
): Promise<void> {
  const parsed = parse(command, args);
  if (parsed.flag('help')) {
    context.terminal.print(`${command.summary}\n\nespalier ${command.name} ${command.usage}`);
    return;
  }
  await command.run(parsed, context);
}

function parse(command: Command, args: readonly string[]): Arguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
    return new Arguments(positionals, values);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
