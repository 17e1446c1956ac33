import { operations } from '../core/operations/operations';
import { legacyCommands } from './legacy/run-legacy';
import { flagsOf } from './options';
import { presenters } from './presenters';
import { commonFields } from './run-operation';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Completed {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly {
    readonly long: string;
    readonly description: string;
    readonly choices: readonly string[];
    readonly takesValue: boolean;
  }[];
}

/** A script that completes commands, flags and the choices of flags. */
export function completionScript(shell: Shell): string {
  const commands = completed();
  switch (shell) {
    case 'bash':
      return bash(commands);
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`;
    case 'fish':
      return fish(commands);
  }
}

function completed(): Completed[] {
  return [
    ...operations.map(({ id, summary, fields }) => ({
      name: id,
      summary,
      flags: Object.entries({ ...fields, ...presenters[id].options, ...commonFields })
        .filter(([, field]) => !field.positional)
        .flatMap(([key, field]) =>
          flagsOf(key, field).map(({ long, takesValue }) => ({
            long,
            takesValue,
            description: field.description,
            choices: field.choices ?? [],
          })),
        ),
    })),
    ...legacyCommands.map(({ name, summary, options }) => ({
      name,
      summary,
      flags: Object.entries(options).map(([key, { type }]) => ({
        long: `--${key}`,
        takesValue: type === 'string',
        description: '',
        choices: [],
      })),
    })),
    {
      name: 'completion',
      summary: 'Print a completion script.',
      flags: shells.map((long) => ({ long, takesValue: false, description: '', choices: [] })),
    },
  ];
}

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(({ name, flags }) => {
    const choices = flags
      .filter((flag) => flag.choices.length > 0)
      .map(
        (flag) =>
          `        ${flag.long}) COMPREPLY=($(compgen -W '${flag.choices.join(' ')}' -- "$word")); return ;;`,
      );
    const words = flags.map(({ long }) => long).join(' ');
    return [
      `    ${name})`,
      ...(choices.length === 0 ? [] : ['      case "$before" in', ...choices, '      esac']),
      `      words='${words}' ;;`,
    ].join('\n');
  });
  return [
    '_espalier() {',
    '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=\'\'',
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$word"))`,
    '    return',
    '  fi',
    '  case "${COMP_WORDS[1]}" in',
    ...cases,
    '  esac',
    '  case "$word" in',
    '    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
    '  esac',
    '}',
    'complete -o default -F _espalier espalier',
  ].join('\n');
}

function fish(commands: readonly Completed[]): string {
  const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
  return commands
    .flatMap(({ name, summary, flags }) => [
      `complete -c espalier -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
      ...flags.map(({ long, description, choices, takesValue }) =>
        [
          `complete -c espalier -n '__fish_seen_subcommand_from ${name}'`,
          long.startsWith('--') ? `-l ${long.slice(2)}` : `-a ${long}`,
          ...(takesValue ? ['-r'] : []),
          ...(choices.length === 0 ? [] : [`-f -a ${quoted(choices.join(' '))}`]),
          ...(description === '' ? [] : [`-d ${quoted(description)}`]),
        ].join(' '),
      ),
    ])
    .join('\n');
}
