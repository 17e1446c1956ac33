import type { CalibrationRequest } from '../../core/data/calibration';
import { flagOf } from '../../core/operations/build-request';
import type { AnyOperation } from '../../core/operations/operation';
import { operations } from '../../core/operations/operations';
import type { OperationId } from '../../core/operations/operations';
import type { CompressModelRequest, RunOptions } from '../../protocol/worker';
import type { JobRecord } from './job-record';

/** A flag with its values; absent where there are none, alone where it is `true`. */
type Flags = Readonly<
  Record<string, string | number | boolean | undefined | readonly (string | number)[]>
>;

/** The command that does the same in a POSIX shell; undefined where the command line has none. */
export function toCommandLine(job: JobRecord): string | undefined {
  if (isDeclared(job)) {
    const operation = operations.find(({ id }) => id === job.operation);
    return operation && fromOperation(operation, job.request);
  }
  switch (job.operation) {
    case 'compress':
      return withPlan(job.request);
    case 'planBudget':
    case 'export':
      return undefined;
  }
}

const isDeclared = (job: JobRecord): job is JobRecord<OperationId> =>
  operations.some(({ id }) => id === job.operation);

/** The flags of an operation's own fields; a request that holds a document is given as JSON. */
function fromOperation(
  { id, fields }: Pick<AnyOperation, 'id' | 'fields'>,
  request: object,
): string {
  const values = request as Readonly<Record<string, unknown>>;
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
    const flag = field?.positional === true ? [] : [flagOf(key, field)];
    if (typeof value !== 'boolean') {
      return [...flag, String(value)];
    }
    const isOn = value || field?.default === true;
    return isOn ? flag : flag.map((name) => name.replace('--', '--no-'));
  });
  return ['espalier', id, ...words].map(quoted).join(' ');
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

/** A request holds the plan, where the command line takes a file. */
function withPlan(request: CompressModelRequest): string {
  const { model, plan, out, format, layout, overwrite, calibration = {}, ...run } = request;
  const flags = command('compress', model, {
    plan: '/dev/stdin',
    ...calibrationFlags(calibration),
    ...{ format, layout, overwrite, ...runFlags(run), out },
  });
  const document = { ...plan, model: { ...plan.model, path: model } };
  return `${flags} <<'PLAN'\n${JSON.stringify(document, undefined, 2)}\nPLAN`;
}

function command(name: string, model: string | undefined, flags: Flags): string {
  const words = Object.entries(flags).flatMap(([flag, value]) => {
    const isList = typeof value === 'object';
    if (value === undefined || value === false || (isList && value.length === 0)) {
      return [];
    }
    return value === true ? [`--${flag}`] : [`--${flag}`, isList ? value.join(',') : `${value}`];
  });
  return ['espalier', name, ...(model === undefined ? [] : [model]), ...words]
    .map(quoted)
    .join(' ');
}

/** One word of a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Where scores choose the windows, their length is that of the scores. */
function calibrationFlags({ file, sequences, length, scores }: Partial<CalibrationRequest>): Flags {
  return {
    calibration: file,
    'calibration-scores': scores?.file,
    'calibration-policy': scores?.policy,
    sequences,
    length: scores === undefined ? length : undefined,
  };
}

function runFlags({ device, memoryBytes }: RunOptions): Flags {
  return { device, memory: `${Math.floor(memoryBytes / 2 ** 20)}MiB` };
}
