import { UserError } from '../user-error';
import type { ErrorSubject } from '../user-error';
import { say } from '../message';
import { parseJsonText } from '../parse-json';

/**
 * Parses a line of JSON.
 * @param subject file, line (as field) and expected format, for errors
 * @throws UserError about the subject.
 */
export function parseJsonLine(line: string, subject: ErrorSubject): unknown {
  try {
    return parseJsonText(line);
  } catch (error) {
    throw new UserError(
      'line-not-json',
      say`The line is not JSON: ${(error as Error).message}.`,
      subject,
    );
  }
}

/**
 * Parses a line of JSON that must be an object.
 * @throws UserError about the subject.
 */
export function parseObjectLine(
  line: string,
  subject: ErrorSubject,
): Readonly<Record<string, unknown>> {
  const value = parseJsonLine(line, subject);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError('line-not-object', say`The line is not an object.`, subject);
  }
  return value as Record<string, unknown>;
}
