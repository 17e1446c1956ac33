import { CommanderError } from 'commander';
import type { ErrorCode } from '../core/error-codes';
import { RequestError } from '../core/operations/build-request';

/** An error in the command line. */
interface UsageError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Code and text, of one or two lines, of an error in the command line; undefined for other errors. */
export function usageError(error: unknown): UsageError | undefined {
  if (error instanceof RequestError) {
    return error;
  }
  if (!(error instanceof CommanderError)) {
    return undefined;
  }
  const [problem = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n');
  const [, name = ''] = /'(.+?)'/.exec(problem) ?? [];
  const closest = suggestion.replace(/^\((.*)\)$/, '$1');
  const usage = (code: ErrorCode, text: string): UsageError => ({
    code,
    message: closest === '' ? text : `${text} ${closest}`,
  });
  switch (error.code) {
    case 'commander.unknownCommand':
      return usage('command-unknown', `There is no command "${name}".`);
    case 'commander.unknownOption':
      return usage('flag-unknown', `There is no option ${name}.`);
    case 'commander.optionMissingArgument':
      return usage('flag-value-missing', `${name.split(' ')[0] ?? ''} needs a value.`);
    default:
      return usage('command-line-invalid', `${problem[0]?.toUpperCase() ?? ''}${problem.slice(1)}`);
  }
}

/** True if help or the version was requested and printed. */
export function isAnswered(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}
