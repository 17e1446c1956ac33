import { Argument, Command } from 'commander';
import { asFlag, RequestError } from '../core/operations/build-request';
import { operationGroups } from '../core/operations/operation';
import type { AnyOperation } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import { completionScript, shells } from './completion';
import type { Shell } from './completion';
import { addFields, takeArguments } from './options';
import type { Typed } from './options';
import type { Presenter } from './presenter';
import { getPresenter } from './presenters';
import { commonFields } from './run-operation';
import { toolProcess } from './mcp/tools';
import { inEnglish, say } from '../core/message';

/** Handlers that commands call after parsing. */
export interface Actions {
  readonly version: string;
  readonly print: (text: string) => void;
  readonly operation: (
    operation: AnyOperation,
    presenter: Presenter,
    typed: Typed,
  ) => Promise<void>;
  /**
   * Serves tools to agents until they disconnect.
   * @param except names of tools that are left out
   */
  readonly serve: (except: readonly string[]) => Promise<void>;
  /** Performs calls of tools that the parent process sends. */
  readonly performCalls: () => void;
}

/** The command line: a subcommand per operation. It throws a CommanderError instead of ending the process. */
export function createProgram(actions: Actions): Command {
  const program = new Command('espalier')
    .description('See how important each layer of a model is, and prune, compress or repair it.')
    .version(actions.version)
    .usage('COMMAND …')
    .exitOverride()
    .configureOutput({ writeOut: actions.print, writeErr: () => undefined })
    .addHelpText('after', '\nespalier COMMAND --help shows the options of a command.');
  const headings = Object.keys(operationGroups);
  const place = ({ group }: Pick<AnyOperation, 'group'>): number => headings.indexOf(group);
  for (const operation of operations.toSorted((a, b) => place(a) - place(b))) {
    const presenter = getPresenter(operation.id);
    addOperation(program, operation as unknown as AnyOperation, presenter, actions);
  }
  program
    .command('completion')
    .helpGroup(operationGroups.tools)
    .description('Print a script that completes commands and options in a shell.')
    .addArgument(new Argument('<SHELL>', 'Name of the shell').choices(shells))
    .action((shell: Shell) => {
      actions.print(`${completionScript(shell)}\n`);
    });
  program
    .command('mcp')
    .helpGroup(operationGroups.tools)
    .description(
      'Serve tools to agents by the Model Context Protocol, over standard input and output.',
    )
    .option('--except <TOOL,…>', 'Tools to leave out, such as inspect_model')
    .action(async ({ except }: { readonly except?: string }) => {
      await actions.serve(except?.split(',').map((name) => name.trim()) ?? []);
    });
  program.command(toolProcess, { hidden: true }).action(actions.performCalls);
  program.addHelpCommand(
    new Command('help')
      .argument('[COMMAND]')
      .description('Show the help of a command.')
      .helpGroup(operationGroups.tools),
  );
  return program;
}

/** Leading words that name a command, such as `symbolic evaluate`; stops at the first option. */
export function commandPath(program: Command, args: readonly string[]): string {
  const [name, ...rest] = args;
  const command = program.commands.find((one) => one.name() === name);
  return command === undefined
    ? ''
    : [command.name(), commandPath(command, rest)].filter(Boolean).join(' ');
}

/** Arguments to parse: `--help` after a name that is not a command is removed, since it would show no help. */
export function withoutVainHelp(program: Command, args: readonly string[]): readonly string[] {
  const [name = '-'] = args;
  const isCommand = name === 'help' || program.commands.some((one) => one.name() === name);
  return name.startsWith('-') || isCommand ? args : [name];
}

/** Command whose subcommands share its name, such as `symbolic` for `symbolic evaluate`. */
function commandGroup(parent: Command, name: string): Command {
  const known = parent.commands.find((command) => command.name() === name);
  if (known !== undefined) {
    return known;
  }
  const group: Command = parent
    .command(name)
    .description(
      `Commands: ${listSubcommands(name)
        .map(({ id }) => id.split(' ').at(-1))
        .join(', ')}.`,
    )
    .usage('COMMAND …')
    .allowExcessArguments()
    .action(() => {
      const known = listSubcommands(name)
        .map(({ id }) => id)
        .join(' or ');
      const [typed] = group.args;
      throw new RequestError(
        typed === undefined ? 'command-missing' : 'command-unknown',
        typed === undefined
          ? say`Give a command: ${known}.`
          : say`There is no command "${name} ${typed}". Give one of ${known}.`,
      );
    });
  return group;
}

const listSubcommands = (
  name: string,
): readonly { readonly id: string; readonly title: string }[] =>
  operations.filter(({ id }) => id.startsWith(`${name} `));

function addOperation(
  program: Command,
  operation: AnyOperation,
  presenter: Presenter,
  actions: Actions,
): void {
  const { id, summary, group, fields, rules } = operation;
  const words = id.split(' ');
  const name = words.pop() ?? '';
  const parent = words.reduce(commandGroup, program);
  const command = parent.command(name).description(summary);
  (parent === program ? command : parent).helpGroup(operationGroups[group]);
  const typed: Typed = {};
  addFields(command, fields, typed);
  addFields(command, { ...presenter.options, ...commonFields }, typed);
  if (rules.length > 0) {
    const flag = asFlag(fields);
    const notes = [...new Set(rules.map((rule) => inEnglish(rule.describe(flag))))];
    command.addHelpText('after', `\n${notes.join('\n')}`);
  }
  const terms = Object.entries(presenter.terms ?? {});
  if (terms.length > 0) {
    const lines = terms.map(([term, meaning]) => `  ${term}: ${inEnglish(meaning)}`);
    command.addHelpText('after', `\nWords:\n${lines.join('\n')}`);
  }
  command.action(async () => {
    takeArguments(fields, command.args, typed);
    await actions.operation(operation, presenter, typed);
  });
}
