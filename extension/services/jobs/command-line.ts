import { flagName } from '../../core/operations/build-request';
import type { AnyOperation } from '../../core/operations/operation';
import { operations } from '../../core/operations/operations';
import type { OperationId } from '../../core/operations/operations';
import type { JobRecord } from './job-record';

type Declared = Pick<AnyOperation, 'id' | 'fields'>;

const declared = Object.fromEntries(
  operations.map((operation: Declared) => [operation.id, operation]),
) as Readonly<Record<OperationId, Declared>>;

/**
 * Equivalent command for a POSIX shell, with the flags of the operation. A request that contains a document is passed
 * as JSON.
 */
export function toCommandLine(job: JobRecord): string {
  const { id, fields } = declared[job.operation];
  const values = job.request as Readonly<Record<string, unknown>>;
  const given = Object.keys(fields)
    .map((key) => [key, values[key]] as const)
    .filter(
      ([key, value]) =>
        !isEmpty(value) && JSON.stringify(value) !== JSON.stringify(fields[key]?.default),
    );
  if (given.some(([, value]) => typeof value === 'object' && !Array.isArray(value))) {
    const json = JSON.stringify(Object.fromEntries(given), undefined, 2);
    return `espalier ${id} --config /dev/stdin <<'REQUEST'\n${json}\nREQUEST`;
  }
  const words = given.flatMap(([key, value]) => {
    const field = fields[key];
    const flag = field?.positional === true ? [] : [flagName(key, field)];
    if (typeof value !== 'boolean') {
      return [...flag, formatArgument(value)];
    }
    const isOn = value || field?.default === true;
    return isOn ? flag : flag.map((name) => name.replace('--', '--no-'));
  });
  return ['espalier', ...id.split(' '), ...words].map(quoted).join(' ');
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

/** A value as it is typed; names that have a comma as JSON. */
function formatArgument(value: unknown): string {
  const hasComma = Array.isArray(value) && value.some((one) => String(one).includes(','));
  return hasComma ? JSON.stringify(value) : String(value);
}

/** One word of a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
