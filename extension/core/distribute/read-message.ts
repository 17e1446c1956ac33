import * as v from 'valibot';
import { printable } from '../printable';

/**
 * What another process has sent, where it looks as the schema says.
 * @param what it is, for people
 * @throws Error naming the field at fault
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
