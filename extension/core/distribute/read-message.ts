import * as v from 'valibot';
import { printable } from '../printable';

/**
 * Validates data from another process with a schema.
 * @param what name of the data for messages
 * @throws Error naming the invalid field
 */
export function readMessage<T>(
  schema: v.GenericSchema<unknown, T>,
  value: unknown,
  what: string,
): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) {
    return parsed.output;
  }
  const [issue] = parsed.issues;
  const field = v.getDotPath(issue);
  throw new Error(
    printable(`${what} cannot be read: ${field === null ? '' : `${field}: `}${issue.message}.`),
  );
}
