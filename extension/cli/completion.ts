import type { Field } from '../core/operations/fields';
import { operations } from '../core/operations/operations';
import { fieldFlags } from './options';
import { getPresenter } from './presenters';
import { commonFields } from './run-operation';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Completed {
  /** `profile`, `symbolic evaluate`. */
  readonly name: string;
  readonly summary: string;
  /** Words that can follow instead of a flag, besides files. */
  readonly words: readonly string[];
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
      words: [],
      flags: Object.entries<Field>({ ...fields, ...getPresenter(id).options, ...commonFields })
        .filter(([, field]) => !field.positional)
        .flatMap(([key, field]) =>
          fieldFlags(key, field).map(({ long, takesValue }) => ({
            long,
            takesValue,
            description: field.description,
            choices: field.choices ?? [],
          })),
        ),
    })),
    ...groups().map(({ name, summary, words }) => ({ name, summary, words, flags: [] })),
    {
      name: 'completion',
      summary: 'Print a completion script.',
      words: shells,
      flags: [],
    },
  ];
}

/** Commands that only have subcommands. */
function groups(): { name: string; summary: string; words: string[] }[] {
  const nested = operations
    .map(({ id }): string[] => id.split(' '))
    .filter(({ length }) => length > 1);
  return [...new Set(nested.map(([name = '']) => name))].map((name) => {
    const words = nested.flatMap(([first, word = '']) => (first === name ? [word] : []));
    return { name, words, summary: words.join(', ') };
  });
}

/** The first words of all commands. */
const firstWords = (commands: readonly Completed[]): string[] =>
  commands.map(({ name }) => name).filter((name) => !name.includes(' '));

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(({ name, words: names, flags }) => {
    const choices = flags
      .filter((flag) => flag.choices.length > 0)
      .map(
        (flag) =>
          `        ${flag.long}) COMPREPLY=($(compgen -W '${flag.choices.join(' ')}' -- "$word")); return ;;`,
      );
    const words = flags.map(({ long }) => long).join(' ');
    return [
      name.includes(' ') ? `    '${name}')` : `    '${name} '*)`,
      ...(choices.length === 0 ? [] : ['      case "$before" in', ...choices, '      esac']),
      `      flags='${words}' words='${names.join(' ')}' ;;`,
    ].join('\n');
  });
  return [
    '_espalier() {',
    '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" flags= words=',
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    COMPREPLY=($(compgen -W '${firstWords(commands).join(' ')}' -- "$word"))`,
    '    return',
    '  fi',
    '  case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in',
    ...cases,
    '  esac',
    '  case "$word" in',
    '    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;',
    '    *) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
    '  esac',
    '}',
    'complete -o default -F _espalier espalier',
  ].join('\n');
}

function fish(commands: readonly Completed[]): string {
  const groupNames = groups()
    .map(({ name }) => name)
    .join(' ');
  // A subcommand of a group may have the name of a command: evaluate.
  const seen = (name: string): string =>
    [
      ...name.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`),
      ...(groupNames.split(' ').includes(name.split(' ')[0] ?? '')
        ? []
        : [`not __fish_seen_subcommand_from ${groupNames}`]),
    ].join('; and ');
  const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
  return commands
    .flatMap(({ name, summary, words, flags }) => [
      ...(name.includes(' ')
        ? []
        : [`complete -c espalier -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`]),
      ...words.map((word) => `complete -c espalier -n '${seen(name)}' -f -a ${word}`),
      ...flags.map(({ long, description, choices, takesValue }) =>
        [
          `complete -c espalier -n '${seen(name)}'`,
          `-l ${long.slice(2)}`,
          ...(takesValue ? ['-r'] : []),
          ...(choices.length === 0 ? [] : [`-f -a ${quoted(choices.join(' '))}`]),
          ...(description === '' ? [] : [`-d ${quoted(description)}`]),
        ].join(' '),
      ),
    ])
    .join('\n');
}
