import { flagOf } from '../../core/operations/build-request';
import { compress } from '../../core/operations/compress';
import { dataDiet } from '../../core/operations/data-diet';
import { evaluate } from '../../core/operations/evaluate';
import type { AnyOperation } from '../../core/operations/operation';
import { patch } from '../../core/operations/patch';
import { profile } from '../../core/operations/profile';
import { prune } from '../../core/operations/prune';
import { repair } from '../../core/operations/repair';
import { scoreData } from '../../core/operations/score-data';
import { synthesize } from '../../core/operations/synthesize';
import { scoreText } from '../../core/operations/score-text';
import { sensitivity } from '../../core/operations/sensitivity';
import type { JobRecord } from './job-record';

/** The command that does the same in a POSIX shell; undefined where the command line has none. */
export function toCommandLine(job: JobRecord): string | undefined {
  switch (job.operation) {
    case 'profile':
      return fromOperation(profile, job.request);
    case 'prune':
      return fromOperation(prune, job.request);
    case 'evaluate':
      return fromOperation(evaluate, job.request);
    case 'sensitivity':
      return fromOperation(sensitivity, job.request);
    case 'compress':
      return fromOperation(compress, job.request);
    case 'repair':
      return fromOperation(repair, job.request);
    case 'patch':
      return fromOperation(patch, job.request);
    case 'score-text':
      return fromOperation(scoreText, job.request);
    case 'score-data':
      return fromOperation(scoreData, job.request);
    case 'data-diet':
      return fromOperation(dataDiet, job.request);
    case 'synthesize':
      return fromOperation(synthesize, job.request);
    case 'planBudget':
    case 'export':
      return undefined;
  }
}

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

/** One word of a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
