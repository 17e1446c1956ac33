import { Argument, Command } from 'commander';
import { asFlag } from '../core/operations/build-request';
import type { AnyOperation } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import { completionScript, shells } from './completion';
import type { Shell } from './completion';
import type { Command as LegacyCommand } from './legacy/command';
import { legacyCommands } from './legacy/run-legacy';
import { addFields, takeArguments } from './options';
import type { Typed } from './options';
import type { Presenter } from './presenter';
import { presenters } from './presenters';
import { commonFields } from './run-operation';

/** What commands do once they are parsed. */
export interface Actions {
  readonly version: string;
  readonly print: (text: string) => void;
  readonly operation: (
    operation: AnyOperation,
    presenter: Presenter,
    typed: Typed,
  ) => Promise<void>;
  readonly legacy: (command: LegacyCommand, args: readonly string[]) => Promise<void>;
}

/** The command line: a subcommand per operation. It throws a CommanderError instead of ending the process. */
export function createProgram(actions: Actions): Command {
  const program = new Command('espalier')
    .description('See what each layer of a model is worth, and prune, compress or repair it.')
    .version(actions.version)
    .usage('COMMAND …')
    .exitOverride()
    .configureOutput({ writeOut: actions.print, writeErr: () => undefined })
    .addHelpText('after', '\nespalier COMMAND --help shows the options of a command.');
  for (const operation of operations) {
    const presenter = presenters[operation.id] as Presenter;
    addOperation(program, operation as unknown as AnyOperation, presenter, actions);
  }
  for (const legacy of legacyCommands) {
    program
      .command(legacy.name)
      .description(legacy.summary)
      .allowUnknownOption()
      .allowExcessArguments()
      .helpOption(false)
      .action(async (_, command: Command) => actions.legacy(legacy, command.args));
  }
  program
    .command('completion')
    .description('Print a script that completes commands and options in a shell.')
    .addArgument(new Argument('<SHELL>', 'Which shell').choices(shells))
    .action((shell: Shell) => {
      actions.print(`${completionScript(shell)}\n`);
    });
  return program;
}

function addOperation(
  program: Command,
  operation: AnyOperation,
  presenter: Presenter,
  actions: Actions,
): void {
  const { id, summary, fields, rules } = operation;
  const command = program.command(id).description(summary);
  const typed: Typed = {};
  addFields(command, fields, typed);
  addFields(command, { ...presenter.options, ...commonFields }, typed);
  if (rules.length > 0) {
    const name = asFlag(fields);
    const notes = [...new Set(rules.map((rule) => rule.describe(name)))];
    command.addHelpText('after', `\n${notes.join('\n')}`);
  }
  command.action(async () => {
    takeArguments(fields, command.args, typed);
    await actions.operation(operation, presenter, typed);
  });
}
