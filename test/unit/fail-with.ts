import { sep } from 'node:path';
import { expect } from 'vitest';
import type { ErrorCode } from '../../extension/core/error-codes';
import { inEnglish } from '../../extension/core/message';
import { UserError } from '../../extension/core/user-error';

/** Code of a {@link UserError} with the file and the field that it names; absent if it names none. */
export interface Failure {
  readonly code: ErrorCode;
  /** The path, its last parts, or an asymmetric matcher. */
  readonly file?: unknown;
  /** The field, or an asymmetric matcher. */
  readonly field?: unknown;
  /** Text of the remedy; absent if it doesn't depend on the input. */
  readonly remedy?: RegExp;
}

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as declared by vitest
  interface Matchers<T = any> {
    /** Passes for a {@link UserError}, thrown or rejected, with this code, file and field. */
    toFailWith: (expected: Failure) => T;
  }
}

expect.extend({
  toFailWith(received: unknown, { code, file, field, remedy }: Failure) {
    const error = typeof received === 'function' ? catchError(received as () => unknown) : received;
    const found =
      error instanceof UserError
        ? { code: error.code, file: error.subject.file, field: findField(error) }
        : error;
    const advice =
      error instanceof UserError && error.subject.remedy !== undefined
        ? inEnglish(error.subject.remedy)
        : '';
    const endsAs = (path: unknown): boolean =>
      typeof file === 'string' && typeof path === 'string' && path.endsWith(`${sep}${file}`);
    const pass =
      error instanceof UserError &&
      error.code === code &&
      (endsAs(error.subject.file) || this.equals(error.subject.file, file)) &&
      this.equals(findField(error), field) &&
      (remedy === undefined || remedy.test(advice));
    return {
      pass,
      actual: found,
      expected: { code, file, field, remedy },
      message: () =>
        `expected ${this.isNot ? 'no ' : ''}failure ${this.utils.stringify({ code, file, field, remedy })}, got ${this.utils.stringify(found)}${error instanceof Error ? `: ${error.message}` : ''}`,
    };
  },
});

/** The field that an error is about, or the fields that a request is refused for. */
const findField = ({ subject, ...error }: UserError): string | undefined =>
  subject.field ??
  ('fields' in error && Array.isArray(error.fields) && error.fields.length > 0
    ? error.fields.join(', ')
    : undefined);

/** The error that a function throws; undefined if it returns. */
function catchError(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
