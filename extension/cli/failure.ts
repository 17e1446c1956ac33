import { UserError } from '../core/user-error';
import { RequestError } from '../core/operations/build-request';
import type { ErrorCode } from '../core/error-codes';
import { usageError } from './usage-errors';

/** JSON of a failure, for scripts and agents. */
export interface Failure {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly file?: string;
    readonly field?: string;
  };
}

/** Describes an error as JSON. */
export function toFailure(error: unknown): Failure {
  if (error instanceof UserError) {
    const { file, field = fieldsIn(error) } = error.subject;
    return {
      error: {
        code: error.code,
        message: error.message,
        ...(file === undefined ? {} : { file }),
        ...(field === undefined ? {} : { field }),
      },
    };
  }
  const { code, message } = usageError(error) ?? {
    code: 'internal-error',
    message: error instanceof Error ? error.message : String(error),
  };
  return { error: { code, message } };
}

/** Names of the fields that a request is refused for; undefined if it is not about fields. */
const fieldsIn = (error: UserError): string | undefined =>
  error instanceof RequestError && error.fields.length > 0 ? error.fields.join(', ') : undefined;
