import { CommanderError } from 'commander';
import { RequestError } from '../core/operations/build-request';

/** Describes an error in the command line in one or two lines; undefined for other errors. */
export function usageProblem(error: unknown): string | undefined {
  if (error instanceof RequestError) {
    return error.message;
  }
  if (!(error instanceof CommanderError)) {
    return undefined;
  }
  const [problem = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n');
  const [, name = ''] = /'(.+?)'/.exec(problem) ?? [];
  const closest = suggestion.replace(/^\((.*)\)$/, '$1');
  const say = (text: string): string => (closest === '' ? text : `${text} ${closest}`);
  switch (error.code) {
    case 'commander.unknownCommand':
      return say(`There is no command "${name}".`);
    case 'commander.unknownOption':
      return say(`There is no option ${name}.`);
    case 'commander.optionMissingArgument':
      return `${name.split(' ')[0] ?? ''} needs a value.`;
    default:
      return say(`${problem[0]?.toUpperCase() ?? ''}${problem.slice(1)}`);
  }
}

/** True if help or the version was requested and printed. */
export function isAnswered(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}
