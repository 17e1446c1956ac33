import type { JobRecord } from '../jobs/job-record';

/** Storage key of a job's report: the path of its output, or the models that it evaluates. */
export function reportKey({ operation, model, request }: JobRecord): string {
  const given = (name: string): string => {
    const value: unknown = Reflect.get(request, name);
    return typeof value === 'string' ? value : '';
  };
  return operation === 'evaluate'
    ? ['evaluation', model, given('against'), given('task')].join('\n')
    : given('out');
}
